// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/probe/memory.h"

#include "shared/base/text.h"

namespace penstock::builder {

std::optional<MemoryInfo> parseMemInfo(std::string_view procMeminfo)
{
    std::optional<std::uint64_t> total;
    std::optional<std::uint64_t> available;
    for (const std::string_view line : split(procMeminfo, '\n')) { // "MemTotal:       16384 kB"
        const std::size_t colon = line.find(':');
        if (colon == std::string_view::npos || !line.ends_with(" kB"))
            continue;
        const std::string_view name = line.substr(0, colon);
        const auto value = parseUnsigned(trim(line.substr(colon + 1, line.size() - colon - 4)));
        if (!value)
            continue;
        if (name == "MemTotal")
            total = *value * 1024;
        if (name == "MemAvailable")
            available = *value * 1024;
    }
    if (!total || !available)
        return std::nullopt;
    return MemoryInfo{*total, *available};
}

std::optional<std::uint64_t> parseMemoryMax(std::string_view memoryMax)
{
    const auto value = parseUnsigned(trim(memoryMax));
    return value ? std::optional(*value) : std::nullopt;
}

std::uint64_t parseInactiveFile(std::string_view memoryStat)
{
    constexpr std::string_view kName = "inactive_file ";
    for (const std::string_view line : split(memoryStat, '\n')) {
        if (line.starts_with(kName))
            return parseUnsigned(trim(line.substr(kName.size()))).value_or(0);
    }
    return 0;
}

} // namespace penstock::builder
