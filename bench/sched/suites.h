// SPDX-License-Identifier: GPL-3.0-or-later
// The questions, one function each. All take their chance from the seed alone.
#pragma once

#include "bench/sched/report.h"

#include <cstdint>
#include <string>

namespace penstock::bench {

struct SuiteSettings {
    std::uint64_t seed = 1;
    bool quick = false; // smaller sizes, for a look while developing
};

// How close to the best possible do mixed evaluations on 16 machines end? Budget: 8 % over the lower bound.
void quality(Report& report, const SuiteSettings& settings);
// Does each share group get its share of every hour? Budget: 2 % of the farm's capacity.
void fairness(Report& report, const SuiteSettings& settings);
// Does our work push machines over their pressure limit, and what does caution cost? Budget: 30 s; 90 % of an
// oracle.
void pressure(Report& report, const SuiteSettings& settings);
// How many starts a second, and bytes a step, with up to 10^6 ready? Budget: 400 bytes; flat in the queue.
void throughput(Report& report, const SuiteSettings& settings);
// How long do single operations take with 10^6 queued? Budget: 1 s a large DAG, 50 ms a large group, 1 ms
// `why`.
void operations(Report& report, const SuiteSettings& settings);
// Does one system's queue delay another's steps? Budget: not at all.
void isolation(Report& report, const SuiteSettings& settings);

} // namespace penstock::bench
