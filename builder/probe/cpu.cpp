// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/probe/cpu.h"

#include "shared/base/text.h"

namespace penstock::builder {

CpuInfo parseCpuInfo(std::string_view procCpuinfo)
{
    CpuInfo info;
    double sum = 0;
    std::uint32_t told = 0;
    for (const std::string_view line : split(procCpuinfo, '\n')) {
        const std::size_t colon = line.find(':');
        if (colon == std::string_view::npos)
            continue;
        const std::string name = toLower(trim(line.substr(0, colon)));
        if (name == "processor")
            ++info.processors;
        if (name != "bogomips")
            continue;
        if (const auto value = parseDouble(trim(line.substr(colon + 1)))) {
            sum += *value;
            ++told;
        }
    }
    info.bogomips = told > 0 ? sum / told : 0;
    return info;
}

std::optional<LoadAverage> parseLoadAverage(std::string_view procLoadavg)
{
    const auto fields = split(trim(procLoadavg), ' ');
    if (fields.size() < 3)
        return std::nullopt;
    const auto one = parseDouble(fields[0]);
    const auto five = parseDouble(fields[1]);
    const auto fifteen = parseDouble(fields[2]);
    if (!one || !five || !fifteen)
        return std::nullopt;
    return LoadAverage{*one, *five, *fifteen};
}

std::optional<CpuTimes> parseCpuTimes(std::string_view procStat)
{
    // "cpu  user nice system idle iowait irq softirq steal guest guest_nice"; guest time is inside user already.
    constexpr std::size_t kIdle = 3;
    constexpr std::size_t kIoWait = 4;
    constexpr std::size_t kSteal = 7;
    const std::string_view line = procStat.substr(0, procStat.find('\n'));
    if (!line.starts_with("cpu "))
        return std::nullopt;
    CpuTimes times;
    std::size_t field = 0;
    for (const std::string_view part : split(trim(line.substr(4)), ' ')) {
        const auto value = parseUnsigned(part);
        if (!value)
            return std::nullopt;
        if (field <= kSteal) {
            times.total += *value;
            if (field != kIdle && field != kIoWait)
                times.busy += *value;
        }
        ++field;
    }
    return field > kIdle ? std::optional(times) : std::nullopt;
}

double busyPercent(const CpuTimes& before, const CpuTimes& after)
{
    if (after.total <= before.total || after.busy < before.busy)
        return 0;
    return 100.0 * static_cast<double>(after.busy - before.busy) / static_cast<double>(after.total - before.total);
}

std::optional<double> parseCpuMax(std::string_view cpuMax)
{
    const auto fields = split(trim(cpuMax), ' ');
    if (fields.size() != 2)
        return std::nullopt;
    const auto quota = parseDouble(fields[0]);
    const auto period = parseDouble(fields[1]);
    if (!quota || !period || *quota <= 0 || *period <= 0)
        return std::nullopt;
    return *quota / *period;
}

} // namespace penstock::builder
