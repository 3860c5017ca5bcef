// SPDX-License-Identifier: GPL-3.0-or-later
// Space of the file system under a path. One system call; nothing when the path is not there.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace penstock::builder {

struct DiskSpace {
    std::uint64_t freeBytes = 0; // for this user
    std::uint64_t totalBytes = 0;
    std::uint64_t freeInodes = 0; // for this user
    std::uint64_t totalInodes = 0; // 0: this file system does not count them
};
[[nodiscard]] std::optional<DiskSpace> readDisk(const std::string& path);

} // namespace penstock::builder
