// SPDX-License-Identifier: GPL-3.0-or-later
// What an operator may tune in the core, and every bound it keeps. Values.
#pragma once

#include "server/sched/policy.h"
#include "server/work/health.h"
#include "server/work/retry.h"

#include <cstdint>
#include <optional>

namespace penstock::core {

struct CoreOptions {
    Duration reconnectGrace{std::chrono::seconds(20)}; // a machine that went away keeps its attempts this long
    Duration stopGrace{std::chrono::minutes(2)};       // a stopped attempt may take this long to say it has ended
    Duration rejectedFor{std::chrono::seconds(10)};    // a machine that refused a step is not asked again this long
    work::RetryPolicy rejection{.retries = 0,          // when every machine refuses
                                .initial = std::chrono::milliseconds(500),
                                .factor = 2,
                                .max = std::chrono::minutes(1),
                                .jitterPercent = 10};
    work::FarmLimits limits;
    work::Limits dependencyLimits; // a step that nobody asked for by name gets at least these; zero: none
    sched::Policy policy;
    work::HealthPolicy health;
    // A step that no machine of the farm, connected or not, could ever run ends as unsupported after this time;
    // nothing: it waits.
    std::optional<Duration> unsupportedAfter;

    std::uint64_t maxOpenSteps = 2'000'000;   // more are refused: exhausted
    std::uint64_t maxShareGroups = 10'000;    // with open jobs; a job that would open one more is refused: exhausted
    std::uint64_t maxMachines = 10'000;       // new ones are closed: overloaded
    std::uint64_t maxUnconfirmed = 256;       // batches; beyond: nothing is started, submissions are refused
    std::uint64_t finishedJobsKept = 500;     // for watchers that come late
    std::uint64_t finishedStepsKept = 20'000; // of those jobs
    std::uint64_t keysKept = 100'000;         // idempotency keys of finished jobs
    std::uint64_t visitsPerPass = 20'000;     // of the planner, per apply()
};

} // namespace penstock::core
