// SPDX-License-Identifier: GPL-3.0-or-later
// Question: how many steps a second are started, accepted, ended and told to a Hydra database, in the transactions that
// make them durable (embedded cluster, fsync on)? Size that matters: batches of 100 and 1,000 steps, 4 batches in
// flight, with a build for each step (the worst: every end of a build counts on one row) or for every fifth.
// Goal: 3,000/s on 2 cores that the database shares with us.
#include "shared/base/text.h"
#include "tests/support/hydra_farm.h"
#include "tests/support/postgres_fixture.h"

#include <benchmark/benchmark.h>
#include <cstdlib>
#include <fmt/format.h>
#include <semaphore>

namespace penstock {
namespace {

constexpr std::ptrdiff_t kInFlight = 4;

class Bed {
public:
    // A build for each `spread`th step; the others are accounted to the one after them.
    Bed(std::uint64_t steps, std::uint64_t spread) : m_spread(spread)
    {
        const std::uint64_t builds = steps / spread;
        m_farm.database().run(fmt::format(
            "INSERT INTO builds (id, finished, timestamp, jobset_id, job, drvpath, system) "
            "SELECT n, 0, 1, 1, 'j', '/nix/store/' || lpad(n::text, 32, '0') || '-step.drv', 's' "
            "FROM generate_series(1, {0}) n;"
            "INSERT INTO buildoutputs SELECT n, 'out', '/nix/store/' || lpad(n::text, 32, 'o') || '-step' "
            "FROM generate_series(1, {0}) n;"
            "INSERT INTO penstock.hydra_builds (build, drvpath, globalpriority) SELECT id, drvpath, 0 FROM builds;"
            "ANALYZE builds; ANALYZE buildoutputs",
            builds));
        for (std::uint64_t at = 1; at <= steps; at += 5'000) {
            test::FarmChanges changes;
            for (std::uint64_t step = at; step < at + 5'000; ++step) {
                changes.step(step, fmt::format("step{}", step));
                if (step % spread == 0)
                    changes.job(static_cast<int>(step / spread), step);
            }
            work::Changes rows = changes.get();
            for (work::StepRow& row : rows.newSteps)
                if (row.id.value() % spread == 0)
                    repoint(row, row.id.value() / spread);
            m_farm.persist(rows);
        }
    }
    [[nodiscard]] int jobOf(std::uint64_t step) const { return static_cast<int>((step + m_spread - 1) / m_spread); }
    [[nodiscard]] bool isRoot(std::uint64_t step) const { return step % m_spread == 0; }
    test::HydraFarm& farm() { return m_farm; }

private:
    static void repoint(work::StepRow& row, std::uint64_t build)
    {
        work::NixWork nix = std::get<work::NixWork>(*row.spec.work);
        nix.drvPath = fmt::format("/nix/store/{:0>32}-step.drv", build);
        nix.outputs = {{"out", fmt::format("/nix/store/{:o>32}-step", build)}};
        row.spec.work = std::make_shared<const work::Work>(std::move(nix));
    }
    test::HydraFarm m_farm;
    std::uint64_t m_spread;
};

// What starts in one batch ends two batches later, as its start must be durable first.
work::Changes batchOf(const Bed& bed, std::uint64_t first, std::uint64_t batch, std::uint64_t steps)
{
    test::FarmChanges changes;
    for (std::uint64_t at = first; at < first + batch; ++at) {
        if (at <= steps)
            changes.start(at, at, bed.jobOf(at));
        if (at > batch && at - batch <= steps)
            changes.accept(at - batch);
        if (at <= 2 * batch || at - 2 * batch > steps)
            continue;
        const std::uint64_t step = at - 2 * batch;
        work::BuildResults results;
        results.closureSize = 1'000'000;
        results.products.push_back({"file", "doc", "out", "share/manual.html", "", "manual.html",
                                    work::ProductKind::File, 1'234, std::string(64, 'a')});
        changes.end(step, test::endOf(work::AttemptEnd::Succeeded,
                                      {{"out", fmt::format("/nix/store/{:o>32}-step", step), "", 1'000}}, results));
        changes.finish(step, work::StepResult::Succeeded);
        if (bed.isRoot(step))
            changes.over(bed.jobOf(step), work::JobState::Succeeded);
    }
    return changes.get();
}

// Of the database's process that serves the writer, in seconds: what a busy machine does not change.
double backendSeconds(test::HydraFarm& farm)
{
    const std::string stat = farm.database().value(
        "SELECT pg_read_file('/proc/' || pid || '/stat') FROM pg_stat_activity WHERE datname = current_database() "
        "AND application_name LIKE 'penstock-writer-%'");
    const auto fields = split(stat.substr(stat.rfind(')') + 2), ' ');
    constexpr std::size_t kUser = 11;
    if (fields.size() < kUser + 2)
        std::abort();
    const auto ticks = parseUnsigned(fields[kUser]).value_or(0) + parseUnsigned(fields[kUser + 1]).value_or(0);
    return static_cast<double>(ticks) / 100;
}

void projected(benchmark::State& state)
{
    const auto batch = static_cast<std::uint64_t>(state.range(0));
    const auto spread = static_cast<std::uint64_t>(state.range(1));
    const std::uint64_t steps = 10'000;
    Bed bed(steps, spread);
    const double before = backendSeconds(bed.farm());
    std::counting_semaphore<kInFlight> isFree{kInFlight};
    for (auto _ : state) {
        for (std::uint64_t first = 1; first <= steps + 2 * batch; first += batch) {
            isFree.acquire();
            bed.farm().store().persist(batchOf(bed, first, batch, steps), {}, [&isFree](const Result<void>& done) {
                if (!done)
                    std::abort();
                isFree.release();
            });
        }
        for (std::ptrdiff_t left = 0; left < kInFlight; ++left)
            isFree.acquire();
    }
    if (bed.farm().database().value("SELECT count(*) FROM builds WHERE finished = 1") != std::to_string(steps / spread))
        std::abort();
    state.counters["backend us/step"] = 1e6 * (backendSeconds(bed.farm()) - before) / static_cast<double>(steps);
    state.counters["steps/s"] = benchmark::Counter(static_cast<double>(steps), benchmark::Counter::kIsRate);
}
BENCHMARK(projected)
    ->Args({100, 1})
    ->Args({1'000, 1})
    ->Args({100, 5})
    ->Args({1'000, 5})
    ->Iterations(1)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

// One failure below many builds: one transaction, in which the row of nrbuilds is written once for each.
void failures(benchmark::State& state)
{
    const auto builds = static_cast<std::uint64_t>(state.range(0));
    Bed bed(builds, 1);
    test::FarmChanges changes;
    bed.farm().persist(test::FarmChanges().start(1, 1, 1).get());
    changes.end(1, work::AttemptEnd::Failed).finish(1, work::StepResult::Failed);
    for (std::uint64_t build = 1; build <= builds; ++build) {
        if (build > 1)
            changes.failBy(build, 1);
        changes.over(static_cast<int>(build), work::JobState::Failed, work::StepResult::DependencyFailed);
    }
    for (auto _ : state)
        bed.farm().persist(changes.get());
    state.counters["builds/s"] = benchmark::Counter(static_cast<double>(builds), benchmark::Counter::kIsRate);
}
BENCHMARK(failures)->Arg(5'000)->Arg(20'000)->Iterations(1)->UseRealTime()->Unit(benchmark::kMillisecond);

} // namespace
} // namespace penstock

int main(int argc, char** argv)
{
    benchmark::Initialize(&argc, argv);
    (void)penstock::test::sharedCluster(penstock::test::Place::Disk); // durable means: on a disk
    benchmark::RunSpecifiedBenchmarks();
    return 0;
}
