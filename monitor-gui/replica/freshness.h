// SPDX-License-Identifier: GPL-3.0-or-later
// How old a datum may be before it must look old: the rule of the monitor for every cell, tile and chart.
// Pure. A datum is expected once a period (declared by the server): up to 3 periods it is fresh, up to 10
// stale, beyond lost.
#pragma once

#include "monitor-gui/replica/records.h"

namespace penstock::gui {

enum class Freshness : std::uint8_t { Fresh, Stale, Lost, Unknown };

[[nodiscard]] Freshness freshnessOf(std::optional<Duration> age, Duration period);

// Of a machine: by its last report on the server's clock; one that the server calls disconnected is lost.
[[nodiscard]] Freshness freshnessOf(const MachineRecord& machine, WallTime serverNow, Duration machinePeriod);

[[nodiscard]] std::optional<Duration> ageOf(std::optional<WallTime> at, WallTime serverNow); // never negative

// True when the machine's pressure, load, disk or memory is past one of its gates: nothing new starts there.
[[nodiscard]] bool pastGate(const MachineRecord& machine);

} // namespace penstock::gui
