// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/sched/gate.h"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>

namespace penstock::sched {

std::string_view toString(GateKind kind)
{
    switch (kind) {
    case GateKind::CpuPressure: return "cpu_pressure";
    case GateKind::MemoryPressure: return "memory_pressure";
    case GateKind::IoPressure: return "io_pressure";
    case GateKind::Load: return "load";
    case GateKind::FreeMemory: return "free_memory";
    case GateKind::FreeDisk: return "free_disk";
    case GateKind::FreeInodes: return "free_inodes";
    }
    return "unknown";
}

std::vector<OverThreshold> overThresholds(const protocol::Thresholds& limits, const protocol::LoadSample& load)
{
    std::vector<OverThreshold> over;
    const auto above = [&over](GateKind kind, double value, double limit) {
        if (limit > 0 && value > limit)
            over.push_back({kind, value, limit});
    };
    if (load.pressure) {
        above(GateKind::CpuPressure, load.pressure->cpu.someAvg10, limits.cpuPsi);
        above(GateKind::MemoryPressure, load.pressure->memory.fullAvg10, limits.memoryPsi);
        above(GateKind::IoPressure, load.pressure->io.fullAvg10, limits.ioPsi);
    }
    above(GateKind::Load, load.load1, limits.load1);
    const auto below = [&over](GateKind kind, std::uint64_t value, std::uint64_t limit) {
        if (limit > 0 && value < limit)
            over.push_back({kind, static_cast<double>(value), static_cast<double>(limit)});
    };
    below(GateKind::FreeMemory, load.memoryAvailableBytes, limits.minFreeMemoryBytes);
    // A machine without a store reports none.
    const std::uint64_t disk =
        load.storeTotalBytes == 0 ? load.diskFreeBytes : std::min(load.diskFreeBytes, load.storeFreeBytes);
    below(GateKind::FreeDisk, disk, limits.minFreeDiskBytes);
    if (load.diskTotalInodes != 0) // some file systems count none
        below(GateKind::FreeInodes, load.diskFreeInodes, limits.minFreeInodes);
    return over;
}

bool isNearPressure(const protocol::Thresholds& limits, const protocol::LoadSample& load)
{
    const auto isNear = [](double value, double limit) { return limit > 0 && value > limit / 8; };
    return load.pressure && (isNear(load.pressure->memory.fullAvg10, limits.memoryPsi) ||
                             isNear(load.pressure->io.fullAvg10, limits.ioPsi));
}

protocol::Thresholds inForce(protocol::Thresholds builder, const work::ThresholdOverrides& overrides)
{
    builder.cpuPsi = overrides.cpuPsi.value_or(builder.cpuPsi);
    builder.memoryPsi = overrides.memoryPsi.value_or(builder.memoryPsi);
    builder.ioPsi = overrides.ioPsi.value_or(builder.ioPsi);
    builder.load1 = overrides.load1.value_or(builder.load1);
    builder.minFreeDiskBytes = overrides.minFreeDiskBytes.value_or(builder.minFreeDiskBytes);
    builder.minFreeMemoryBytes = overrides.minFreeMemoryBytes.value_or(builder.minFreeMemoryBytes);
    builder.minFreeInodes = overrides.minFreeInodes.value_or(builder.minFreeInodes);
    return builder;
}

bool closes(GateKind kind, MachineFree policy)
{
    switch (kind) {
    case GateKind::CpuPressure:
    case GateKind::MemoryPressure:
    case GateKind::IoPressure:
    case GateKind::Load: return policy != MachineFree::Static;
    case GateKind::FreeMemory:
    case GateKind::FreeDisk:
    case GateKind::FreeInodes: return true;
    }
    return true;
}

std::string describe(const OverThreshold& over)
{
    constexpr double kMiB = 1024.0 * 1024.0;
    switch (over.kind) {
    case GateKind::CpuPressure: return fmt::format("CPU pressure {:.1f}% > {:.1f}%", over.value, over.limit);
    case GateKind::MemoryPressure: return fmt::format("memory pressure {:.1f}% > {:.1f}%", over.value, over.limit);
    case GateKind::IoPressure: return fmt::format("I/O pressure {:.1f}% > {:.1f}%", over.value, over.limit);
    case GateKind::Load: return fmt::format("load {:.2f} > {:.2f}", over.value, over.limit);
    case GateKind::FreeMemory:
        return fmt::format("free memory {:.0f} MiB < {:.0f} MiB", over.value / kMiB, over.limit / kMiB);
    case GateKind::FreeDisk:
        return fmt::format("free disk {:.0f} MiB < {:.0f} MiB", over.value / kMiB, over.limit / kMiB);
    case GateKind::FreeInodes: return fmt::format("free inodes {:.0f} < {:.0f}", over.value, over.limit);
    }
    return {};
}

std::uint32_t busyCpus(const protocol::LoadSample& load, std::uint32_t cores)
{
    const double percent = load.cpuBusyPercent;
    if (!(percent > 0)) // also what a peer may send that is no number
        return 0;
    return static_cast<std::uint32_t>(std::lround(std::min(percent, 100.0) / 100.0 * cores));
}

std::uint32_t loadPerCore(const protocol::LoadSample& load, std::uint32_t cores)
{
    const double perCore = load.load1 / static_cast<double>(std::max(cores, 1U)) * 1000.0;
    if (!(perCore > 0)) // also what a peer may send that is no number
        return 0;
    return perCore > 1e9 ? 1'000'000'000U : static_cast<std::uint32_t>(perCore);
}

} // namespace penstock::sched
