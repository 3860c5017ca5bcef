// SPDX-License-Identifier: GPL-3.0-or-later
// Question: what does one start cost the planner on a large farm, by the number of waiting steps: 8 systems, 200 share
// groups, 5,000 machines? Budget: 500,000 starts a second at a million waiting steps, and a cost per start that grows
// no faster than the logarithm of the queue. Visits are counted; wall time is only reported. Each start ends one step
// of the same machine, so that the farm stays full, and charges its share group as the core does.
#include "server/sched/planner.h"

#include <benchmark/benchmark.h>
#include <deque>
#include <fmt/format.h>

namespace penstock::sched {
namespace {

constexpr std::size_t kSystems = 8;
constexpr std::size_t kGroups = 200;
constexpr std::size_t kMachines = 5'000;
constexpr std::uint32_t kSlots = 8;

struct Farm {
    Planner planner;
    std::vector<PlacementIndex> placements;
    AskIndex ask = planner.asks().acquire({});
    std::vector<std::uint64_t> uses = std::vector<std::uint64_t>(kGroups, 0);
    std::vector<ShareIndex> groupOf; // by step id
    std::deque<Start> running;
    std::uint64_t visits = 0;

    explicit Farm(std::size_t steps)
    {
        groupOf.resize(steps + 1);
        for (std::size_t i = 0; i < kSystems; ++i) {
            work::Placement placement;
            placement.system = fmt::format("s{}", i);
            placements.push_back(planner.placements().acquire(placement));
        }
        for (std::size_t i = 1; i <= steps; ++i)
            enqueue(StepId(i), i);
        for (std::size_t i = 1; i <= kMachines; ++i) {
            protocol::MachineFacts facts;
            facts.name = fmt::format("m{}", i);
            facts.systems = {fmt::format("s{}", i % kSystems)};
            if (i % 3 == 0)
                facts.features = {"kvm"};
            planner.setFacts(MachineId(i), facts);
            work::Resources resources;
            resources.cpus = kSlots;
            planner.setStatus(MachineId(i), {.able = true,
                                             .open = true,
                                             .capacity = {.slots = kSlots, .resources = resources}});
        }
    }
    void enqueue(StepId step, std::size_t i)
    {
        const ShareIndex group = static_cast<ShareIndex>((i * 7919U) % kGroups);
        groupOf[step.value()] = group;
        const std::uint64_t urgency = urgencyOf(StepSort::WithCriticalPath,
                                                {.length = static_cast<std::uint32_t>((i * 104'729U) % 5'000U)});
        static_cast<void>(planner.enqueue({.placement = placements[i % kSystems],
                                           .ask = ask,
                                           .avoid = {},
                                           .shares = {&group, 1},
                                           .gates = {},
                                           .order = {urgency, i / 100, step}}));
    }
    bool startOne()
    {
        VisitBudget budget(UINT64_MAX);
        const std::optional<Start> start = planner.next(budget, {});
        visits += budget.used();
        if (!start)
            return false;
        const ShareIndex group = groupOf[start->step.value()];
        planner.setUse(group, uses[group] += 1'000 + start->step.value() % 1'000);
        running.push_back(*start);
        return true;
    }
    void endOne()
    {
        planner.leaveGates(running.front().ask, running.front().gates);
        planner.giveRoom(running.front().machine, running.front().ask);
        running.pop_front();
    }
};

// range(0): waiting steps; half of them are started, the farm full throughout.
void startOnAFullFarm(benchmark::State& state)
{
    const auto steps = static_cast<std::size_t>(state.range(0));
    std::uint64_t starts = 0;
    std::uint64_t visits = 0;
    for (auto _ : state) {
        state.PauseTiming();
        auto farm = std::make_unique<Farm>(steps);
        while (farm->running.size() < std::min(steps / 4, kMachines * kSlots) && farm->startOne())
            continue;
        farm->visits = 0;
        state.ResumeTiming();
        for (std::size_t i = 0; i < steps / 2; ++i) {
            farm->endOne();
            if (!farm->startOne())
                break;
            ++starts;
        }
        state.PauseTiming();
        visits += farm->visits;
        farm.reset();
        state.ResumeTiming();
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(starts));
    state.counters["visits_per_start"] = static_cast<double>(visits) / static_cast<double>(starts);
}
BENCHMARK(startOnAFullFarm)->RangeMultiplier(10)->Range(1'000, 1'000'000)->Unit(benchmark::kMillisecond);

// The same, every slot free at first: as many starts as there are slots, in one pass.
void startOnAnEmptyFarm(benchmark::State& state)
{
    const auto steps = static_cast<std::size_t>(state.range(0));
    std::uint64_t starts = 0;
    for (auto _ : state) {
        state.PauseTiming();
        auto farm = std::make_unique<Farm>(steps);
        state.ResumeTiming();
        while (farm->startOne())
            ++starts;
        state.PauseTiming();
        farm.reset();
        state.ResumeTiming();
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(starts));
}
BENCHMARK(startOnAnEmptyFarm)->RangeMultiplier(10)->Range(1'000, 1'000'000)->Unit(benchmark::kMillisecond);

void enqueue(benchmark::State& state)
{
    for (auto _ : state) {
        state.PauseTiming();
        auto farm = std::make_unique<Farm>(0);
        farm->groupOf.resize(200'001);
        state.ResumeTiming();
        for (std::size_t i = 1; i <= 200'000; ++i)
            farm->enqueue(StepId(i), i);
        state.PauseTiming();
        farm.reset();
        state.ResumeTiming();
    }
    state.SetItemsProcessed(state.iterations() * 200'000);
}
BENCHMARK(enqueue)->Unit(benchmark::kMillisecond);

} // namespace
} // namespace penstock::sched
