// SPDX-License-Identifier: GPL-3.0-or-later
// Questions: what do insertion, readiness, failure and removal cost the graph, by its size, and do steps that
// 100,000 others depend on make any of it quadratic? Two shapes: layered, where each step depends on up to
// eight of the hundred before it; and closure, like a large evaluation: five steps on which all depend, some
// with thousands of dependents, the rest near by, eight edges a step. Budget: a million edges a second,
// linear; 200,000 steps inserted and finished in well under half a second.
#include "server/work/dag.h"

#include <algorithm>
#include <benchmark/benchmark.h>
#include <malloc.h>
#include <memory>
#include <vector>

namespace penstock::work {
namespace {

class Random {
public:
    std::uint64_t below(std::uint64_t bound)
    {
        m_state = m_state * 6364136223846793005U + 1442695040888963407U;
        return (m_state >> 33U) % bound;
    }

private:
    std::uint64_t m_state = 1;
};

using Graph = std::vector<std::vector<StepId>>; // what each depends on; the ids are a topological order

Graph aloneGraph(std::uint64_t steps)
{
    return Graph(steps);
}

Graph layeredGraph(std::uint64_t steps)
{
    Random random;
    Graph graph(steps);
    for (std::uint64_t id = 2; id <= steps; ++id)
        for (int i = 0; i < 8; ++i)
            graph[id - 1].emplace_back(id - 1 - random.below(std::min<std::uint64_t>(id - 1, 100)));
    return graph;
}

Graph closureGraph(std::uint64_t steps)
{
    Random random;
    Graph graph(steps);
    for (std::uint64_t id = 2; id <= steps; ++id) {
        for (std::uint64_t hub = 1; hub <= 3; ++hub)
            graph[id - 1].emplace_back(1 + random.below(std::min<std::uint64_t>(id - 1, 5)));
        for (int i = 0; i < 2; ++i)
            graph[id - 1].emplace_back(1 + random.below(std::min<std::uint64_t>(id - 1, 1 + steps / 100)));
        for (int i = 0; i < 3; ++i)
            graph[id - 1].emplace_back(id - 1 - random.below(std::min<std::uint64_t>(id - 1, 500)));
    }
    return graph;
}

Graph distinct(Graph graph)
{
    for (std::vector<StepId>& below : graph) {
        std::sort(below.begin(), below.end());
        below.erase(std::unique(below.begin(), below.end()), below.end());
    }
    return graph;
}

void insert(Dag& dag, const Graph& graph)
{
    for (std::size_t i = 0; i < graph.size(); ++i)
        dag.add(StepId(i + 1), Dag::Outcome::Open, static_cast<std::uint32_t>(10 + i % 997));
    // The order in which a client lists its steps is not a topological one.
    for (std::size_t i = graph.size(); i-- > 0;)
        for (const StepId below : graph[i])
            dag.addDependency(StepId(i + 1), below);
    benchmark::DoNotOptimize(dag.settle());
}

std::size_t allocated()
{
    const struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

std::int64_t edgesOf(const Graph& graph)
{
    std::int64_t edges = 0;
    for (const std::vector<StepId>& below : graph)
        edges += static_cast<std::int64_t>(below.size());
    return edges;
}

template <class Shape> void insertAll(benchmark::State& state, Shape shape)
{
    const Graph graph = distinct(shape(static_cast<std::uint64_t>(state.range(0))));
    double bytes = 0;
    for (auto _ : state) {
        const std::size_t before = allocated();
        auto dag = std::make_unique<Dag>();
        insert(*dag, graph);
        state.PauseTiming();
        bytes = static_cast<double>(allocated() - before);
        dag.reset();
        state.ResumeTiming();
    }
    state.SetItemsProcessed(state.iterations() * state.range(0));
    state.counters["edges"] = static_cast<double>(edgesOf(graph));
    state.counters["bytes_per_step"] = bytes / static_cast<double>(state.range(0));
}

template <class Shape> void finishAll(benchmark::State& state, Shape shape)
{
    const Graph graph = distinct(shape(static_cast<std::uint64_t>(state.range(0))));
    for (auto _ : state) {
        state.PauseTiming();
        auto dag = std::make_unique<Dag>();
        insert(*dag, graph);
        state.ResumeTiming();
        for (std::uint64_t id = 1; id <= graph.size(); ++id) {
            benchmark::DoNotOptimize(dag->finish(StepId(id), true));
            benchmark::DoNotOptimize(dag->settle());
        }
        state.PauseTiming();
        dag.reset();
        state.ResumeTiming();
    }
    state.SetItemsProcessed(state.iterations() * state.range(0));
}

template <class Shape> void failTheFirst(benchmark::State& state, Shape shape)
{
    const Graph graph = distinct(shape(static_cast<std::uint64_t>(state.range(0))));
    for (auto _ : state) {
        state.PauseTiming();
        auto dag = std::make_unique<Dag>();
        insert(*dag, graph);
        state.ResumeTiming();
        benchmark::DoNotOptimize(dag->finish(StepId(1), false));
        benchmark::DoNotOptimize(dag->settle());
        state.PauseTiming();
        dag.reset();
        state.ResumeTiming();
    }
    state.SetItemsProcessed(state.iterations() * state.range(0));
}

// One after the other, each a job of fifty steps over fifty that all jobs share and that stay open.
void cancelJobs(benchmark::State& state)
{
    constexpr std::uint64_t kShared = 50;
    constexpr std::uint64_t kOwn = 50;
    const std::uint64_t steps = static_cast<std::uint64_t>(state.range(0)) / kOwn * kOwn + kShared;
    Random random;
    Graph graph = layeredGraph(kShared);
    graph.resize(steps);
    for (std::uint64_t id = kShared + 1; id <= steps; ++id) {
        const std::uint64_t before = (id - 1) % kOwn; // steps of the same job
        for (int i = 0; i < 4; ++i)
            graph[id - 1].emplace_back(1 + random.below(kShared));
        for (int i = 0; i < 4 && before > 0; ++i)
            graph[id - 1].emplace_back(id - 1 - random.below(before));
    }
    graph = distinct(std::move(graph));
    for (auto _ : state) {
        state.PauseTiming();
        auto dag = std::make_unique<Dag>();
        insert(*dag, graph);
        state.ResumeTiming();
        std::vector<StepId> job;
        for (std::uint64_t id = steps; id > kShared; --id) {
            job.emplace_back(id);
            if (job.size() < kOwn)
                continue;
            dag->finishAlone(job);
            benchmark::DoNotOptimize(dag->settle());
            dag->remove(job);
            job.clear();
        }
        state.PauseTiming();
        dag.reset();
        state.ResumeTiming();
    }
    state.SetItemsProcessed(state.iterations() * state.range(0));
}

void cancelAtOnce(benchmark::State& state)
{
    const Graph graph = distinct(closureGraph(static_cast<std::uint64_t>(state.range(0))));
    std::vector<StepId> all;
    for (std::uint64_t id = graph.size(); id >= 1; --id)
        all.emplace_back(id);
    for (auto _ : state) {
        state.PauseTiming();
        auto dag = std::make_unique<Dag>();
        insert(*dag, graph);
        state.ResumeTiming();
        dag->finishAlone(all);
        benchmark::DoNotOptimize(dag->settle());
        dag->remove(all);
        state.PauseTiming();
        dag.reset();
        state.ResumeTiming();
    }
    state.SetItemsProcessed(state.iterations() * state.range(0));
}

// Jobs of one step that share one dependency: each comes, is cancelled and goes alone while the others stay.
void jobsThatShareOneStep(benchmark::State& state)
{
    const auto jobs = static_cast<std::uint64_t>(state.range(0));
    for (auto _ : state) {
        Dag dag;
        dag.add(StepId(1), Dag::Outcome::Open, 100);
        for (std::uint64_t id = 2; id <= jobs + 1; ++id) {
            dag.add(StepId(id), Dag::Outcome::Open, static_cast<std::uint32_t>(id));
            dag.addDependency(StepId(id), StepId(1));
            dag.addUser(StepId(1), JobId(id));
            dag.addUser(StepId(id), JobId(id));
            benchmark::DoNotOptimize(dag.settle());
        }
        for (std::uint64_t id = jobs + 1; id >= 2; --id) { // the longest first
            const StepId step(id);
            dag.finishAlone(step);
            benchmark::DoNotOptimize(dag.settle());
            dag.removeUser(StepId(1), JobId(jobs + 3 - id)); // in the order in which they came
            dag.removeUser(step, JobId(id));
            dag.remove({&step, 1});
        }
    }
    state.SetItemsProcessed(state.iterations() * state.range(0));
}

void sizes(benchmark::internal::Benchmark* bench)
{
    bench->Arg(1'000)->Arg(10'000)->Arg(100'000)->Arg(200'000)->Arg(1'000'000)->Unit(benchmark::kMillisecond);
}
BENCHMARK_CAPTURE(insertAll, alone, aloneGraph)->Apply(sizes);
BENCHMARK_CAPTURE(insertAll, layered, layeredGraph)->Apply(sizes);
BENCHMARK_CAPTURE(insertAll, closure, closureGraph)->Apply(sizes);
BENCHMARK_CAPTURE(finishAll, layered, layeredGraph)->Apply(sizes);
BENCHMARK_CAPTURE(finishAll, closure, closureGraph)->Apply(sizes);
BENCHMARK_CAPTURE(failTheFirst, layered, layeredGraph)->Apply(sizes);
BENCHMARK_CAPTURE(failTheFirst, closure, closureGraph)->Apply(sizes);
BENCHMARK(cancelJobs)->Apply(sizes);
BENCHMARK(cancelAtOnce)->Apply(sizes);
BENCHMARK(jobsThatShareOneStep)->Apply(sizes);

} // namespace
} // namespace penstock::work
