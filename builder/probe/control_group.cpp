// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/probe/control_group.h"

#include "builder/probe/cpu.h"
#include "builder/probe/memory.h"
#include "builder/spool/file_handle.h"
#include "shared/base/text.h"

#include <algorithm>
#include <array>
#include <fcntl.h>
#include <unistd.h>

namespace penstock::builder {
namespace {

constexpr std::size_t kMaxKernelText = 4U << 20U; // cpuinfo of a large machine

template <class T> void lower(std::optional<T>& to, std::optional<T> limit)
{
    if (limit)
        to = to ? std::min(*to, *limit) : *limit;
}

} // namespace

std::string readKernelText(const std::string& path)
{
    const FileHandle file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    std::string text;
    std::array<char, 16384> buffer{};
    while (file.isOpen() && text.size() < kMaxKernelText) {
        const ssize_t got = ::read(file.get(), buffer.data(), buffer.size());
        if (got <= 0)
            break;
        text.append(buffer.data(), static_cast<std::size_t>(got));
    }
    return text;
}

std::string parseOwnGroup(std::string_view procSelfCgroup)
{
    constexpr std::string_view kVersion2 = "0::";
    for (const std::string_view line : split(procSelfCgroup, '\n')) {
        if (!line.starts_with(kVersion2))
            continue;
        const std::string_view group = line.substr(kVersion2.size());
        return group.starts_with("/") && group.find("/..") == std::string_view::npos ? std::string(group) : "/";
    }
    return "/";
}

std::vector<std::string> groupFolders(const std::string& root, std::string group)
{
    std::vector<std::string> folders;
    while (group.size() > 1) {
        folders.push_back(root + group);
        group.erase(group.rfind('/'));
    }
    folders.push_back(root);
    return folders;
}

GroupLimits readGroups(const std::vector<std::string>& folders)
{
    GroupLimits limits;
    for (const std::string& folder : folders) {
        lower(limits.cpus, parseCpuMax(readKernelText(folder + "/cpu.max")));
        std::optional<std::uint64_t> memory = parseMemoryMax(readKernelText(folder + "/memory.max"));
        lower(memory, parseMemoryMax(readKernelText(folder + "/memory.high"))); // above it everything only crawls
        if (!memory)
            continue;
        lower(limits.memoryBytes, memory);
        const std::uint64_t current = parseUnsigned(trim(readKernelText(folder + "/memory.current"))).value_or(0);
        const std::uint64_t cache = parseInactiveFile(readKernelText(folder + "/memory.stat"));
        const std::uint64_t used = current - std::min(current, cache);
        lower(limits.memoryLeftBytes, std::optional(*memory - std::min(*memory, used)));
    }
    return limits;
}

GroupLimits readOwnGroup()
{
    return readGroups(groupFolders("/sys/fs/cgroup", parseOwnGroup(readKernelText("/proc/self/cgroup"))));
}

} // namespace penstock::builder
