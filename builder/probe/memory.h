// SPDX-License-Identifier: GPL-3.0-or-later
// Memory, from the texts of /proc/meminfo and the control group. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace penstock::builder {

struct MemoryInfo {
    std::uint64_t totalBytes = 0;
    std::uint64_t availableBytes = 0;
};
[[nodiscard]] std::optional<MemoryInfo> parseMemInfo(std::string_view procMeminfo);
// The limit of a control group in bytes; nothing for "max".
[[nodiscard]] std::optional<std::uint64_t> parseMemoryMax(std::string_view memoryMax);
// Of a control group's memory.stat: page cache that the kernel gives back first.
[[nodiscard]] std::uint64_t parseInactiveFile(std::string_view memoryStat);

} // namespace penstock::builder
