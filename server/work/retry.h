// SPDX-License-Identifier: GPL-3.0-or-later
// Back-off: how long a step waits before its next try. Integer arithmetic; the spread comes from the step's id and
// the count, so that equal histories give equal times. Pure, callable from any thread.
#pragma once

#include "server/work/spec.h"
#include "shared/base/ids.h"

#include <cstdint>

namespace penstock::work {

// initial x factor^(count-1), at most max, and up to jitterPercent more, though never above max: no less than was said.
// count: failures so far, from 1.
[[nodiscard]] Duration backOff(const RetryPolicy& policy, StepId step, std::uint32_t count);

// The same for a policy of the farm's own, whose factor may be a fraction, also below one: in thousandths.
struct FarmBackOff {
    Duration initial{0};
    std::uint32_t factorThousandths = 1'000;
    Duration max{0};
    std::uint32_t jitterPercent = 0;
    friend bool operator==(const FarmBackOff&, const FarmBackOff&) = default;
};
[[nodiscard]] Duration backOff(const FarmBackOff& policy, StepId step, std::uint32_t count);

// What the farm itself forgives a step, apart from the step's own policy. Both count over the step's life, each for
// itself, and start anew when it is reopened.
struct FarmLimits {
    // Attempts that ended by the machine's fault or with Nix's "try again" and are followed by another; the next such
    // end aborts the step. 4: at most five such attempts; 0: the first is the last.
    std::uint32_t infrastructureFailures = 4;
    std::uint32_t losses = 20; // likewise attempts whose machine went away: the 21st ends the step
    FarmBackOff infrastructure{.initial = std::chrono::seconds(60),
                               .factorThousandths = 3'000,
                               .max = std::chrono::hours(1),
                               .jitterPercent = 10};
    // After a loss the next try may start at once; from the third on it waits, in case the step kills its machines.
    RetryPolicy loss{.retries = 0,
                     .initial = std::chrono::seconds(1),
                     .factor = 2,
                     .max = std::chrono::minutes(1),
                     .jitterPercent = 10};
};

} // namespace penstock::work
