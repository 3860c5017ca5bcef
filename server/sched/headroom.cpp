// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/sched/headroom.h"

#include <algorithm>
#include <cmath>

namespace penstock::sched {

std::int64_t FreshStarts::secondOf(Instant at)
{
    return std::chrono::floor<std::chrono::seconds>(at.sinceStart).count();
}

void FreshStarts::add(Instant at, std::uint32_t cpus)
{
    const std::int64_t second = secondOf(at);
    Bin& bin = m_bins[static_cast<std::size_t>(((second % kBins) + kBins) % kBins)];
    if (bin.second != second)
        bin = {second, 0};
    bin.cpus += cpus;
}

void FreshStarts::remove(Instant startedAt, std::uint32_t cpus, Instant now)
{
    const std::int64_t second = secondOf(startedAt);
    Bin& bin = m_bins[static_cast<std::size_t>(((second % kBins) + kBins) % kBins)];
    if (bin.second == second && secondOf(now) - second < kBins)
        bin.cpus -= std::min<std::uint64_t>(bin.cpus, cpus);
}

std::uint64_t FreshStarts::milliCpus(Instant now, Duration settle) const
{
    const std::int64_t most = std::clamp<std::int64_t>(settle / std::chrono::seconds(1), 0, kBins - 1);
    if (most == 0)
        return 0;
    std::uint64_t sum = 0;
    for (const Bin& bin : m_bins) {
        const std::int64_t age = secondOf(now) - bin.second;
        if (bin.second >= 0 && bin.cpus > 0 && age >= 0 && age < most)
            sum += bin.cpus * 1000 * static_cast<std::uint64_t>(most - age) / static_cast<std::uint64_t>(most);
    }
    return sum;
}

void CpuUse::observe(std::uint64_t busyMilliCpus, std::uint64_t askedCpus)
{
    constexpr std::uint64_t kMemory = 32; // machines' worth of reports
    if (askedCpus == 0)
        return;
    const std::uint64_t seen = std::clamp<std::uint64_t>(busyMilliCpus / askedCpus, 100, 16'000);
    m_weight = std::min(m_weight + 1, kMemory);
    m_perMille = (m_perMille * (m_weight - 1) + seen) / m_weight;
}

std::uint64_t busyMilliCpus(const protocol::LoadSample& load, std::uint32_t cores)
{
    const double percent = load.cpuBusyPercent;
    if (!(percent > 0)) // also what a peer may send that is no number
        return 0;
    return static_cast<std::uint64_t>(std::lround(std::min(percent, 100.0) * 10.0)) * cores;
}

std::uint32_t burst(std::uint64_t busy, std::uint64_t fresh, std::uint32_t cores, std::uint64_t usePerMille)
{
    const std::uint64_t spokenFor = busy + fresh * usePerMille / 1000;
    const std::uint64_t all = std::uint64_t{cores} * 1000;
    if (spokenFor >= all)
        return 0;
    // An idle machine always takes one step, however much those before it have used.
    const std::uint64_t idle = all - spokenFor;
    const std::uint64_t cpus = (idle + usePerMille / 2) / std::max<std::uint64_t>(usePerMille, 1);
    return static_cast<std::uint32_t>(spokenFor == 0 ? std::max<std::uint64_t>(cpus, 1) : cpus);
}

} // namespace penstock::sched
