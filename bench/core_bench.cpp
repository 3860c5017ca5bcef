// SPDX-License-Identifier: GPL-3.0-or-later
// Questions about the core, at the size of a busy farm (100,000 queued steps, 500 machines):
// - How many command steps a second go through apply(), from submission to the stored result, when the store answers
//   at once? Budget: 100,000/s; and flat in the length of the queue.
// - How many bytes does a queued command step cost, job and all? Budget: 500, counted by our own operator new.
// - How long does recovery of 100,000 queued steps take? Budget: 1 s of the 2 s for a restart.
#include "bench/memory.h"
#include "server/core/farm_core.h"

#include <benchmark/benchmark.h>
#include <cstdint>
#include <fmt/format.h>
#include <string>
#include <vector>

namespace penstock::core {
namespace {

work::StepSpec commandStep()
{
    static const auto kWork =
        std::make_shared<const work::Work>(work::CommandWork{{"/bin/sh", "-c", "true"}, {}});
    work::StepSpec spec;
    spec.name = "true";
    spec.placement.executor = "command";
    spec.work = kWork;
    return spec;
}

SubmitJobs submission(std::size_t jobs)
{
    SubmitJobs submit{RequestId(1), {}};
    submit.jobs.reserve(jobs);
    for (std::size_t i = 0; i < jobs; ++i) {
        JobRequest job;
        job.spec.name = fmt::format("job-{}", i);
        job.spec.user = "ann";
        job.steps.push_back({commandStep(), {}, true});
        submit.jobs.push_back(std::move(job));
    }
    return submit;
}

class Bed { // a core whose store answers at once, and machines that do too
public:
    explicit Bed(std::size_t machines, std::uint32_t slots) : core(CoreOptions{})
    {
        for (std::size_t i = 0; i < machines; ++i) {
            protocol::MachineFacts facts;
            facts.name = fmt::format("m{}", i);
            facts.executors = {"command"};
            facts.maxJobs = slots;
            const SessionId session(i + 1);
            apply(MachineConnected{session, fmt::format("{:032x}", i), "i", "local", "1", facts});
            apply(MachineReported{session, 0, {}, {}});
        }
    }
    void apply(Event event)
    {
        std::vector<Event> events;
        events.push_back(std::move(event));
        run(events);
    }
    void run(std::vector<Event>& events)
    {
        now.mono = now.mono + Duration(100);
        now.wall = now.wall + Duration(100);
        events.emplace_back(StoreConfirmed{UINT64_MAX});
        for (Command& command : core.consume(events, now))
            if (auto* desired = std::get_if<SendDesired>(&command))
                for (const protocol::Assignment& assignment : desired->desired.assign)
                    waiting.emplace_back(desired->session, assignment.attempt);
    }
    // Every assigned attempt is accepted and succeeds; at most so many in one batch. How many steps ended.
    std::size_t finish(std::size_t batch)
    {
        std::vector<Event> events;
        const std::size_t count = std::min(batch, waiting.size());
        for (std::size_t i = 0; i < count; ++i) {
            const auto [session, attempt] = waiting[i];
            protocol::AttemptResult result;
            result.attempt = attempt;
            result.outcome = protocol::Outcome::Succeeded;
            events.emplace_back(AttemptAnswered{session, {attempt, true, protocol::RejectReason::Unspecified, {}}});
            events.emplace_back(AttemptFinished{session, std::move(result)});
        }
        waiting.erase(waiting.begin(), waiting.begin() + static_cast<std::ptrdiff_t>(count));
        run(events);
        return count;
    }

    FarmCore core;
    std::vector<std::pair<SessionId, AttemptId>> waiting;
    Now now{{std::chrono::hours(1)}, WallTime::fromMicros(1'700'000'000'000'000)};
};

// range(0): steps already queued before the measured ones; range(1): machines of four slots.
void stepsThroughTheCore(benchmark::State& state)
{
    Bed bed(static_cast<std::size_t>(state.range(1)), 4);
    bed.apply(submission(static_cast<std::size_t>(state.range(0))));
    std::int64_t steps = 0;
    for (auto _ : state) {
        bed.apply(submission(64));
        steps += static_cast<std::int64_t>(bed.finish(64));
    }
    state.SetItemsProcessed(steps);
    state.counters["visits_per_step"] = static_cast<double>(bed.core.counters().planVisits) /
                                        static_cast<double>(bed.core.counters().attemptsStarted);
}
BENCHMARK(stepsThroughTheCore)->ArgsProduct({{1'000, 10'000, 100'000}, {10, 500}});

void bytesPerQueuedStep(benchmark::State& state)
{
    for (auto _ : state) {
        Bed bed(0, 1);
        const std::int64_t before = bench::bytesInUse();
        for (std::int64_t left = state.range(0); left > 0; left -= 1'000)
            bed.apply(submission(1'000));
        state.counters["bytes_per_step"] =
            static_cast<double>(bench::bytesInUse() - before) / static_cast<double>(state.range(0));
    }
}
BENCHMARK(bytesPerQueuedStep)->Arg(10'000)->Arg(100'000)->Iterations(1);

void recovery(benchmark::State& state)
{
    work::Recovery rows;
    for (std::uint64_t id = 1; id <= static_cast<std::uint64_t>(state.range(0)); ++id) {
        work::JobRow job{JobId(id), {}, {}, {}, 1};
        job.spec.name = "job";
        rows.jobs.push_back(std::move(job));
        work::StepRow step{StepId(id), commandStep(), {}, {}};
        step.progress.state = work::StepState::Ready;
        rows.steps.push_back(std::move(step));
        rows.jobSteps.push_back({JobId(id), StepId(id), true});
    }
    rows.marks = {rows.jobs.size(), rows.jobs.size(), 0, 0};
    for (auto _ : state) {
        FarmCore core{CoreOptions{}};
        auto commands = core.recover(rows, Now{});
        benchmark::DoNotOptimize(commands);
    }
    state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(recovery)->Arg(10'000)->Arg(100'000)->Unit(benchmark::kMillisecond);

} // namespace
} // namespace penstock::core
