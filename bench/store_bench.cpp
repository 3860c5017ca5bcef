// SPDX-License-Identifier: GPL-3.0-or-later
// Question: how many step completions a second become durable in PostgreSQL (embedded cluster, fsync on)?
// Size that matters: batches of 100 to 5,000 completions, 4 batches in flight, as the core hands them over. Goal:
// 20,000/s on 2 cores that the database shares with us. A completion is an attempt's insert and update, its step's
// two updates (running, finished) and its job's two; submission is a job, a step and their link. Also: how long does
// loadOpen() take with 100,000 queued jobs? Goal: well under 1 s.
#include "server/store/postgres/postgres_store.h"
#include "tests/support/store_rows.h"
#include "tests/support/postgres_fixture.h"

#include <benchmark/benchmark.h>
#include <cstdlib>
#include <future>
#include <semaphore>

namespace penstock::store {
namespace {

constexpr std::ptrdiff_t kInFlight = 4;

// Hands batches over, at most kInFlight unconfirmed.
class Feeder {
public:
    Feeder() : m_store({test::newDatabase()}, test::testLogger())
    {
        if (!m_store.loadOpen())
            std::abort();
    }
    void persist(work::Changes changes, work::IdMarks marks)
    {
        m_free.acquire();
        m_store.persist(std::move(changes), marks, [this](const Result<void>& done) {
            if (!done)
                std::abort();
            m_free.release();
        });
    }
    void drain()
    {
        for (std::ptrdiff_t left = 0; left < kInFlight; ++left)
            m_free.acquire();
        m_free.release(kInFlight);
    }
    PostgresStore& store() { return m_store; }

    void submit(std::uint64_t first, std::uint64_t count)
    {
        work::Changes changes;
        for (std::uint64_t id = first; id < first + count; ++id) {
            changes.newJobs.push_back(jobRow(id, "noop"));
            changes.newJobs.back().spec.definition = R"({"command":["true"],"name":"noop"})";
            changes.newSteps.push_back(commandStep(id));
            changes.jobSteps.push_back({JobId(id), StepId(id), true});
        }
        persist(std::move(changes), {first + count, first + count, 0, 0});
    }

private:
    std::counting_semaphore<kInFlight> m_free{kInFlight};
    PostgresStore m_store; // first to go: its answers use the semaphore
};

void start(work::Changes& changes, std::uint64_t id)
{
    changes.newAttempts.push_back(attemptRow(id, id, id));
    work::StepProgress running;
    running.state = work::StepState::Running;
    running.attempts = 1;
    changes.steps.push_back({StepId(id), running});
    work::JobProgress job;
    job.state = work::JobState::Running;
    changes.jobs.push_back({JobId(id), job});
}

void finish(work::Changes& changes, std::uint64_t id)
{
    changes.attempts.push_back({AttemptId(id), endedAttempt(work::AttemptEnd::Succeeded)});
    changes.steps.push_back({StepId(id), finishedStep(work::StepResult::Succeeded)});
    changes.jobs.push_back({JobId(id), finishedJob(work::JobState::Succeeded)});
}

void completions(benchmark::State& state)
{
    const auto batch = static_cast<std::uint64_t>(state.range(0));
    const std::uint64_t steps = 200'000;
    std::uint64_t done = 0;
    for (auto _ : state) {
        state.PauseTiming();
        Feeder feeder;
        for (std::uint64_t id = 1; id <= steps; id += 5'000)
            feeder.submit(id, 5'000);
        feeder.drain();
        state.ResumeTiming();
        // What starts in one batch ends two batches later, as its start must be durable first.
        for (std::uint64_t id = 1; id <= steps + 2 * batch; id += batch) {
            work::Changes changes;
            for (std::uint64_t at = id; at < id + batch; ++at) {
                if (at <= steps)
                    start(changes, at);
                if (at > 2 * batch && at - 2 * batch <= steps)
                    finish(changes, at - 2 * batch);
            }
            feeder.persist(std::move(changes), {0, 0, id + batch, 0});
        }
        feeder.drain();
        done += steps;
        state.PauseTiming(); // the database is left as it is: dropping it is no part of the question
        state.ResumeTiming();
    }
    state.counters["completions/s"] = benchmark::Counter(static_cast<double>(done), benchmark::Counter::kIsRate);
}
BENCHMARK(completions)
    ->Arg(100)
    ->Arg(500)
    ->Arg(2'000)
    ->Arg(5'000)
    ->Iterations(1)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

void submissions(benchmark::State& state)
{
    const auto batch = static_cast<std::uint64_t>(state.range(0));
    Feeder feeder;
    std::uint64_t id = 1;
    for (auto _ : state) {
        for (std::uint64_t end = id + 100'000; id < end; id += batch)
            feeder.submit(id, batch);
        feeder.drain();
    }
    state.counters["jobs/s"] = benchmark::Counter(static_cast<double>(id - 1), benchmark::Counter::kIsRate);
}
BENCHMARK(submissions)->Arg(1'000)->Arg(10'000)->Iterations(1)->UseRealTime()->Unit(benchmark::kMillisecond);

void recovery(benchmark::State& state)
{
    const auto jobs = static_cast<std::uint64_t>(state.range(0));
    Feeder feeder;
    for (std::uint64_t id = 1; id <= jobs; id += 5'000)
        feeder.submit(id, 5'000);
    feeder.drain();
    for (auto _ : state) {
        const auto recovered = feeder.store().loadOpen();
        if (!recovered || recovered->jobs.size() != jobs)
            std::abort();
    }
}
BENCHMARK(recovery)->Arg(10'000)->Arg(100'000)->Iterations(3)->UseRealTime()->Unit(benchmark::kMillisecond);

// One small batch at a time: what a single submit or result waits for.
void latency(benchmark::State& state)
{
    Feeder feeder;
    std::uint64_t id = 1;
    for (auto _ : state) {
        feeder.submit(id++, 1);
        feeder.drain();
    }
}
BENCHMARK(latency)->Iterations(500)->UseRealTime()->Unit(benchmark::kMicrosecond);

} // namespace
} // namespace penstock::store

int main(int argc, char** argv)
{
    benchmark::Initialize(&argc, argv);
    (void)penstock::test::sharedCluster(penstock::test::Place::Disk); // durable means: on a disk
    benchmark::RunSpecifiedBenchmarks();
    return 0;
}
