// SPDX-License-Identifier: GPL-3.0-or-later
// Question: what does one start cost the planner, by the length of the queue, the number of machines and the number
// of classes that no machine can take? Budget: 10,000 ready steps on 500 machines in under 5 ms, and a cost per start
// that grows no faster than the logarithm of any of the three. Visits are counted; wall time is only reported.
#include "server/sched/planner.h"

#include <benchmark/benchmark.h>
#include <fmt/format.h>

namespace penstock::sched {
namespace {

constexpr std::uint32_t kSlots = 4;

// range(0): waiting steps; range(1): machines; range(2): waiting classes that nothing here can run.
void startEverythingThatFits(benchmark::State& state)
{
    std::uint64_t starts = 0;
    std::uint64_t visits = 0;
    for (auto _ : state) {
        state.PauseTiming();
        Planner planner;
        std::uint64_t step = 0;
        for (std::int64_t i = 0; i < state.range(2); ++i) {
            work::Placement placement;
            placement.system = fmt::format("s{}", i);
            const PlacementIndex index = planner.placements().acquire(placement);
            benchmark::DoNotOptimize(planner.enqueue(index, {9, {}, StepId(++step)}, {}));
        }
        const PlacementIndex index = planner.placements().acquire(work::Placement{});
        for (std::int64_t i = 0; i < state.range(0); ++i)
            benchmark::DoNotOptimize(planner.enqueue(index, {0, {}, StepId(++step)}, {}));
        protocol::MachineFacts facts;
        for (std::int64_t i = 1; i <= state.range(1); ++i) {
            facts.name = fmt::format("m{}", i);
            const MachineId id(static_cast<std::uint64_t>(i));
            planner.setFacts(id, facts);
            planner.setStatus(id, {.able = true, .open = true, .slots = kSlots, .used = 0, .load = 0});
        }
        VisitBudget budget(UINT64_MAX);
        state.ResumeTiming();
        const Plan plan = planner.plan(budget);
        state.PauseTiming();
        starts += plan.starts.size();
        visits += budget.used();
        state.ResumeTiming();
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(starts));
    state.counters["visits_per_start"] = static_cast<double>(visits) / static_cast<double>(starts);
}
BENCHMARK(startEverythingThatFits)
    ->ArgsProduct({{10'000, 100'000}, {50, 500, 5'000}, {0, 1'000}})
    ->Unit(benchmark::kMillisecond);

} // namespace
} // namespace penstock::sched
