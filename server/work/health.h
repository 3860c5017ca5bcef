// SPDX-License-Identifier: GPL-3.0-or-later
// The health of a machine: one that fails several different steps in a row by its own fault gets no work for a while,
// then one probe step, and is trusted again only when that and the first real step have gone well. One transition
// function. Pure, callable from any thread. A cell that is not named changes nothing.
//
//   event \ state           Healthy                   Quarantined    Probing            Parole
//   MachineFailed (1)       count; at the limit       -              Quarantined (2)    Quarantined (2)
//                           Quarantined
//   MachineDidWell (3)      count = 0                 -              Parole             Healthy
//   QuarantineOver          -                         Probing        -                  -
//   Trusted (an operator)   Healthy                   Healthy        Healthy            Healthy
//
// (1) an attempt ended by infrastructure; the same step as the last counted failure does not count again in Healthy.
// (2) for twice as long as the last time, up to the policy's maximum. (3) an attempt ended otherwise than by
//     infrastructure, loss or rejection; in Probing only the probe's own.
#pragma once

#include "server/work/changes.h"
#include "server/work/retry.h"

#include <string>
#include <string_view>
#include <variant>

namespace penstock::work {

struct HealthPolicy {
    std::uint32_t failures = 3; // in a row, of different steps; 0: never quarantined
    RetryPolicy backOff{.retries = 0,
                        .initial = std::chrono::minutes(1),
                        .factor = 2,
                        .max = std::chrono::hours(1),
                        .jitterPercent = 0};
};

struct MachineFailed {
    bool sameStep = false; // as the failure before
    std::string reason;
};
struct MachineDidWell {
    bool isProbe = false;
};
struct QuarantineOver {};
struct Trusted {};
using HealthEvent = std::variant<MachineFailed, MachineDidWell, QuarantineOver, Trusted>;

[[nodiscard]] MachineHealth next(const MachineHealth& health, const HealthEvent& event, const HealthPolicy& policy,
                                 Now now);

[[nodiscard]] std::string_view toString(HealthState state); // healthy, quarantined, probing, parole
[[nodiscard]] std::optional<HealthState> parseHealthState(std::string_view word);

} // namespace penstock::work
