// SPDX-License-Identifier: GPL-3.0-or-later
// What the control groups (version 2) leave to this program and its jobs: the tightest limit from its own group up to
// the root counts. A few small reads, any thread. What is not limited, or cannot be read, is nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::builder {

struct GroupLimits {
    std::optional<double> cpus;                   // quota
    std::optional<std::uint64_t> memoryBytes;     // limit
    std::optional<std::uint64_t> memoryLeftBytes; // of it; page cache not in use counts as left
};
[[nodiscard]] GroupLimits readOwnGroup();
// The same for a tree of groups elsewhere: folders as groupFolders gives them.
[[nodiscard]] GroupLimits readGroups(const std::vector<std::string>& folders);

// The group of "0::/system.slice/x.service" in the text of /proc/self/cgroup; "/" when there is none or it lies outside
// of what we can see. Pure.
[[nodiscard]] std::string parseOwnGroup(std::string_view procSelfCgroup);
// "/a/b" below the root "/r" is {"/r/a/b", "/r/a", "/r"}. Pure.
[[nodiscard]] std::vector<std::string> groupFolders(const std::string& root, std::string group);

// A file of /proc or /sys; empty when it cannot be read, at most 4 MiB.
[[nodiscard]] std::string readKernelText(const std::string& path);

} // namespace penstock::builder
