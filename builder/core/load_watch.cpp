// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/core/load_watch.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <fmt/format.h>

namespace penstock::builder {
namespace {

using protocol::LoadSample;
using protocol::Thresholds;

bool isAbove(double value, double limit)
{
    return limit > 0 && value > limit;
}

// The values that gates are about, in this order: CPU some, memory full, I/O full, each over ten seconds.
std::array<double, 3> pressures(const LoadSample& load)
{
    if (!load.pressure)
        return {};
    return {load.pressure->cpu.someAvg10, load.pressure->memory.fullAvg10, load.pressure->io.fullAvg10};
}

bool hasStore(const LoadSample& load)
{
    return load.storeTotalBytes > 0;
}

std::uint64_t leastFreeDisk(const LoadSample& load)
{
    return hasStore(load) ? std::min(load.diskFreeBytes, load.storeFreeBytes) : load.diskFreeBytes;
}

bool lacksInodes(const LoadSample& load, const Thresholds& thresholds)
{
    return load.diskTotalInodes > 0 && load.diskFreeInodes < thresholds.minFreeInodes;
}

} // namespace

LoadClass classify(const LoadSample& load, const Thresholds& thresholds)
{
    const auto [cpu, memory, io] = pressures(load);
    return {.cpuPressure = isAbove(cpu, thresholds.cpuPsi),
            .memoryPressure = isAbove(memory, thresholds.memoryPsi),
            .ioPressure = isAbove(io, thresholds.ioPsi),
            .load = isAbove(load.load1, thresholds.load1),
            .disk = leastFreeDisk(load) < thresholds.minFreeDiskBytes,
            .memory = load.memoryAvailableBytes < thresholds.minFreeMemoryBytes,
            .inodes = lacksInodes(load, thresholds)};
}

std::string shortageOf(const LoadSample& load, const Thresholds& thresholds)
{
    if (load.diskFreeBytes < thresholds.minFreeDiskBytes)
        return fmt::format("{} bytes of disk are free, min-free-disk is {}", load.diskFreeBytes,
                           thresholds.minFreeDiskBytes);
    if (hasStore(load) && load.storeFreeBytes < thresholds.minFreeDiskBytes)
        return fmt::format("{} bytes are free for the store, min-free-disk is {}", load.storeFreeBytes,
                           thresholds.minFreeDiskBytes);
    if (load.memoryAvailableBytes < thresholds.minFreeMemoryBytes)
        return fmt::format("{} bytes of memory are available, min-free-memory is {}", load.memoryAvailableBytes,
                           thresholds.minFreeMemoryBytes);
    if (lacksInodes(load, thresholds))
        return fmt::format("{} inodes are free, min-free-inodes is {}", load.diskFreeInodes,
                           thresholds.minFreeInodes);
    return {};
}

void LoadWatch::reported(const LoadSample& load, Instant now)
{
    m_told = load;
    m_toldAt = now;
    m_ended = false;
}

bool LoadWatch::isDue(const LoadSample& load, Instant now) const
{
    return m_told && now - m_toldAt >= kLookEvery && (m_ended || isNews(load));
}

bool LoadWatch::isNews(const LoadSample& load) const
{
    if (classify(load, m_thresholds) != classify(*m_told, m_thresholds))
        return true;
    const auto before = pressures(*m_told);
    const auto after = pressures(load);
    for (std::size_t i = 0; i < after.size(); ++i) {
        if (std::abs(after[i] - before[i]) >= kPressureStep)
            return true;
    }
    const std::uint64_t memory = m_told->memoryAvailableBytes; // a quarter more or less of it is news
    return load.memoryAvailableBytes < memory - memory / 4 || load.memoryAvailableBytes - memory / 4 > memory;
}

bool LoadWatch::wantsLook(bool isRunning) const
{
    return isRunning || m_ended || (m_told && classify(*m_told, m_thresholds).isOver());
}

} // namespace penstock::builder
