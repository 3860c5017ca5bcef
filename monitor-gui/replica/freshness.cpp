// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/replica/freshness.h"

#include <algorithm>

namespace penstock::gui {

namespace {

constexpr int kFreshPeriods = 3;
constexpr int kStalePeriods = 10;
// Below this a period says more about the network than about the farm.
constexpr Duration kShortestPeriod = std::chrono::milliseconds(500);

} // namespace

Freshness freshnessOf(std::optional<Duration> age, Duration period)
{
    if (!age)
        return Freshness::Unknown;
    const Duration expected = std::max(period, kShortestPeriod);
    if (*age <= kFreshPeriods * expected)
        return Freshness::Fresh;
    return *age <= kStalePeriods * expected ? Freshness::Stale : Freshness::Lost;
}

Freshness freshnessOf(const MachineRecord& machine, WallTime serverNow, Duration machinePeriod)
{
    if (machine.state == MachineState::Disconnected)
        return Freshness::Lost;
    return freshnessOf(ageOf(machine.lastSeen, serverNow), machinePeriod);
}

std::optional<Duration> ageOf(std::optional<WallTime> at, WallTime serverNow)
{
    if (!at)
        return std::nullopt;
    return std::max(serverNow - *at, Duration{0});
}

bool pastGate(const MachineRecord& machine)
{
    const Gates& gates = machine.gates;
    const auto above = [](double value, double gate) { return gate > 0 && value > gate; };
    // 0 is what a machine that has not reported yet has.
    const auto below = [](std::uint64_t value, std::uint64_t gate) { return value > 0 && value < gate; };
    if (above(machine.load1, gates.load1) || below(machine.diskFreeBytes, gates.diskFree) ||
        below(machine.memoryAvailableBytes, gates.memoryFree) || below(machine.diskFreeInodes, gates.inodesFree))
        return true;
    if (!machine.pressure)
        return false;
    return above(machine.pressure->cpuSome, gates.cpuSome) ||
           above(machine.pressure->memoryFull, gates.memoryFull) ||
           above(machine.pressure->ioFull, gates.ioFull);
}

} // namespace penstock::gui
