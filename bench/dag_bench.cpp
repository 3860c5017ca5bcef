// SPDX-License-Identifier: GPL-3.0-or-later
// Question: what do readiness and failure cost the graph, by its size? A layered graph like a Nix closure: each step
// depends on up to eight of the hundred before it. Budget: a million edges a second, linear.
#include "server/work/dag.h"

#include <benchmark/benchmark.h>

namespace penstock::work {
namespace {

Dag layered(std::uint64_t steps)
{
    Dag dag;
    std::uint64_t random = 1;
    for (std::uint64_t id = 1; id <= steps; ++id) {
        dag.add(StepId(id), Dag::Outcome::Open);
        std::uint64_t last = 0;
        for (int i = 0; i < 8 && id > 1; ++i) {
            random = random * 6364136223846793005U + 1442695040888963407U;
            const std::uint64_t back = 1 + (random >> 33U) % std::min<std::uint64_t>(id - 1, 100);
            if (id - back > last) {
                dag.addDependency(StepId(id), StepId(id - back));
                last = id - back;
            }
        }
    }
    return dag;
}

void finishAll(benchmark::State& state)
{
    const auto steps = static_cast<std::uint64_t>(state.range(0));
    for (auto _ : state) {
        state.PauseTiming();
        Dag dag = layered(steps);
        state.ResumeTiming();
        for (std::uint64_t id = 1; id <= steps; ++id)
            benchmark::DoNotOptimize(dag.finish(StepId(id), true));
    }
    state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(finishAll)->Arg(1'000)->Arg(10'000)->Arg(100'000)->Unit(benchmark::kMillisecond);

void failTheFirst(benchmark::State& state)
{
    for (auto _ : state) {
        state.PauseTiming();
        Dag dag = layered(static_cast<std::uint64_t>(state.range(0)));
        state.ResumeTiming();
        benchmark::DoNotOptimize(dag.finish(StepId(1), false));
    }
    state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(failTheFirst)->Arg(1'000)->Arg(10'000)->Arg(100'000)->Unit(benchmark::kMillisecond);

} // namespace
} // namespace penstock::work
