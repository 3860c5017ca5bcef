// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/sched/gate.h"

#include <algorithm>
#include <fmt/format.h>

namespace penstock::sched {

std::string_view toString(GateKind kind)
{
    switch (kind) {
    case GateKind::CpuPressure: return "cpu_pressure";
    case GateKind::MemoryPressure: return "memory_pressure";
    case GateKind::IoPressure: return "io_pressure";
    case GateKind::Load: return "load";
    case GateKind::FreeDisk: return "free_disk";
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
    if (limits.minFreeDiskBytes > 0 && load.diskFreeBytes < limits.minFreeDiskBytes)
        over.push_back({GateKind::FreeDisk, static_cast<double>(load.diskFreeBytes),
                        static_cast<double>(limits.minFreeDiskBytes)});
    return over;
}

std::string describe(const OverThreshold& over)
{
    switch (over.kind) {
    case GateKind::CpuPressure: return fmt::format("CPU pressure {:.1f}% > {:.1f}%", over.value, over.limit);
    case GateKind::MemoryPressure: return fmt::format("memory pressure {:.1f}% > {:.1f}%", over.value, over.limit);
    case GateKind::IoPressure: return fmt::format("I/O pressure {:.1f}% > {:.1f}%", over.value, over.limit);
    case GateKind::Load: return fmt::format("load {:.2f} > {:.2f}", over.value, over.limit);
    case GateKind::FreeDisk: {
        constexpr double kMiB = 1024.0 * 1024.0;
        return fmt::format("free disk {:.0f} MiB < {:.0f} MiB", over.value / kMiB, over.limit / kMiB);
    }
    }
    return {};
}

std::uint32_t loadPerCore(const protocol::LoadSample& load, std::uint32_t cores)
{
    const double perCore = load.load1 / static_cast<double>(std::max(cores, 1U)) * 1000.0;
    if (!(perCore > 0)) // also what a peer may send that is no number
        return 0;
    return perCore > 1e9 ? 1'000'000'000U : static_cast<std::uint32_t>(perCore);
}

} // namespace penstock::sched
