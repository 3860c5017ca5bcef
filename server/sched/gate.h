// SPDX-License-Identifier: GPL-3.0-or-later
// The gate: does a machine's load or pressure forbid new work on it now, by the thresholds it has set itself.
// Pure, callable from any thread.
#pragma once

#include "server/sched/policy.h"
#include "server/work/changes.h"
#include "shared/protocol/link_values.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::sched {

enum class GateKind : std::uint8_t { CpuPressure, MemoryPressure, IoPressure, Load, FreeMemory, FreeDisk, FreeInodes };
[[nodiscard]] std::string_view toString(GateKind kind); // cpu_pressure, …

struct OverThreshold {
    GateKind kind;
    double value = 0;
    double limit = 0;
    friend bool operator==(const OverThreshold&, const OverThreshold&) = default;
};

// The builder's thresholds with an operator's word over them.
[[nodiscard]] protocol::Thresholds inForce(protocol::Thresholds builder, const work::ThresholdOverrides& overrides);

// Whether it closes a machine under this policy: full disks always do, load and pressure where the policy minds them.
[[nodiscard]] bool closes(GateKind kind, MachineFree policy);

// Every threshold that is crossed; at the limit is still allowed. Pressure is CPU some, memory full and I/O full
// over ten seconds, in percent; without pressure from the kernel those thresholds say nothing.
[[nodiscard]] std::vector<OverThreshold> overThresholds(const protocol::Thresholds& limits,
                                                        const protocol::LoadSample& load);
// Above an eighth of a threshold of memory or I/O pressure: averages lag, and pressure comes at once.
[[nodiscard]] bool isNearPressure(const protocol::Thresholds& limits, const protocol::LoadSample& load);
[[nodiscard]] std::string describe(const OverThreshold& over); // "cpu pressure 71.0% > 60.0%"

// How many cores were busy at the last sample, to the nearest.
[[nodiscard]] std::uint32_t busyCpus(const protocol::LoadSample& load, std::uint32_t cores);

// load1 per core in thousandths: floating point never reaches an ordering.
[[nodiscard]] std::uint32_t loadPerCore(const protocol::LoadSample& load, std::uint32_t cores);

} // namespace penstock::sched
