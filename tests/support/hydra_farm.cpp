// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/support/hydra_farm.h"

#include "tests/support/postgres_fixture.h"
#include "tests/support/store_rows.h"

#include <fmt/format.h>
#include <future>
#include <gtest/gtest.h>
#include <thread>

namespace penstock::test {
namespace {

constexpr const char* kStore = "/nix/store/";

std::string digestOf(const std::string& name)
{
    return (name + std::string(32, '0')).substr(0, 32);
}

// "out?" is an output whose path only the build can tell.
work::NixOutput outputOf(const std::string& name, const std::string& output)
{
    if (output.ends_with('?'))
        return {output.substr(0, output.size() - 1), ""};
    return {output, outPath(name, output)};
}

} // namespace

std::string drvPath(const std::string& name)
{
    return fmt::format("{}{}-{}.drv", kStore, digestOf(name), name);
}

std::string outPath(const std::string& name, const std::string& output)
{
    return fmt::format("{}{}-{}-{}", kStore, digestOf(output + name), name, output);
}

WallTime timeAt(std::int64_t seconds)
{
    return WallTime::fromMicros((HydraFarm::kBegin + seconds) * 1'000'000);
}

Now HydraFarm::SetClock::now() const
{
    return {{}, timeAt(seconds)};
}

// --------------------------------------------------------------------------------------------------------- HydraFarm

HydraFarm::HydraFarm(bool cacheFailures, std::optional<hydra::Resolver> resolver)
    : m_recorder(m_database.url()), m_resolver(std::move(resolver))
{
    m_options.dataDir = "/hydra";
    m_options.cacheFailures = cacheFailures;
    open();
    FarmChanges changes;
    persist(changes.machine().get());
}

void HydraFarm::open()
{
    m_projection = std::make_unique<hydra::Projection>(m_options, m_clock, testLogger(), m_resolver);
    store::PostgresOptions options;
    options.connectionString = m_database.url();
    options.projection = m_projection.get();
    m_store = std::make_unique<store::PostgresStore>(options, testLogger());
    const auto loaded = m_store->loadOpen();
    EXPECT_TRUE(loaded.has_value()) << loaded.error().message;
}

void HydraFarm::restart()
{
    m_store.reset();
    open();
}

void HydraFarm::persist(const work::Changes& changes)
{
    auto promise = std::make_shared<std::promise<Result<void>>>();
    auto done = promise->get_future();
    m_store->persist(changes, {}, [promise](Result<void> answer) { promise->set_value(std::move(answer)); });
    if (done.wait_for(std::chrono::seconds(60)) != std::future_status::ready) {
        ADD_FAILURE() << "not durable within 60 s";
        return;
    }
    const Result<void> answer = done.get();
    EXPECT_TRUE(answer.has_value()) << answer.error().message;
}

store::postgres::Projection::Rest HydraFarm::later()
{
    using enum store::postgres::Projection::Rest;
    store::postgres::StopSignal stop;
    auto connection = store::postgres::Connection::open(m_database.url(), "later", stop);
    if (!connection) {
        ADD_FAILURE() << connection.error().message;
        return None;
    }
    hydra::Projection other(m_options, m_clock, testLogger()); // ours is the writer's
    const auto rest = other.later(*connection);
    EXPECT_TRUE(rest.has_value()) << rest.error().message;
    return rest.value_or(None);
}

void HydraFarm::waitForRest()
{
    waitForValue("SELECT (SELECT count(*) FROM penstock.hydra_builds WHERE deferred) + "
                 "(SELECT count(*) FROM penstock.hydra_attempts WHERE deferred)",
                 "0");
}

void HydraFarm::waitForValue(const std::string& statement, const std::string& value)
{
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    for (std::string now = m_database.value(statement); now != value; now = m_database.value(statement)) {
        if (std::chrono::steady_clock::now() > limit) {
            ADD_FAILURE() << statement << " is still " << now << ", not " << value;
            return;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
}

int HydraFarm::insertBuild(const std::string& name, std::vector<std::string> outputs)
{
    HydraBuild build;
    build.job = name;
    build.drvPath = drvPath(name);
    for (const std::string& output : outputs) {
        const work::NixOutput known = outputOf(name, output);
        build.outputs.push_back({known.name, known.path.empty() ? std::nullopt : std::optional(known.path)});
    }
    const int id = m_database.insertBuild(build);
    m_database.run(fmt::format("INSERT INTO penstock.hydra_builds (build, drvpath, globalpriority) "
                               "VALUES ({}, '{}', 0)",
                               id, build.drvPath));
    return id;
}

std::vector<std::string> HydraFarm::steps(int build)
{
    return m_database.rows(fmt::format(
        "SELECT regexp_replace(drvpath, '^.*/[^-]*-|[.]drv$', '', 'g'), busy, status, errormsg, starttime - {0}, "
        "stoptime - {0}, machine, system, propagatedfrom FROM buildsteps WHERE build = {1} ORDER BY stepnr",
        kBegin, build));
}

std::string HydraFarm::build(int build)
{
    const auto rows = m_database.rows(
        fmt::format("SELECT finished, buildstatus, starttime - {0}, stoptime - {0}, iscachedbuild, "
                    "notificationpendingsince - {0} FROM builds WHERE id = {1}",
                    kBegin, build));
    return rows.empty() ? "gone" : rows.front();
}

std::vector<std::string> HydraFarm::sideRows()
{
    return m_database.rows("SELECT 'build', build FROM penstock.hydra_builds UNION ALL "
                           "SELECT 'attempt', attempt FROM penstock.hydra_attempts ORDER BY 1, 2");
}

std::vector<std::string> HydraFarm::told()
{
    std::vector<std::string> all = m_recorder.take();
    std::erase_if(all, [](const std::string& line) { return line.starts_with("builds_"); });
    return all;
}

// ------------------------------------------------------------------------------------------------------- FarmChanges

FarmChanges& FarmChanges::machine()
{
    m_changes.machines.push_back(store::machineRow(1, "m1"));
    return *this;
}

FarmChanges& FarmChanges::step(std::uint64_t id, const std::string& name, const std::vector<std::string>& outputs)
{
    work::StepRow row{StepId(id), {}, timeAt(90), {}};
    row.spec.name = name;
    row.spec.placement.system = "x86_64-linux";
    work::NixWork nix;
    nix.drvPath = drvPath(name);
    for (const std::string& output : outputs)
        nix.outputs.push_back(outputOf(name, output));
    row.spec.work = std::make_shared<const work::Work>(std::move(nix));
    m_changes.newSteps.push_back(std::move(row));
    return *this;
}

FarmChanges& FarmChanges::job(int build, std::uint64_t root)
{
    work::JobRow row{JobId(static_cast<std::uint64_t>(build)), {}, timeAt(80), {}, 1};
    row.spec.name = "job";
    row.spec.nameSpace = "hydra";
    row.spec.sourceId = static_cast<std::uint64_t>(build);
    m_changes.newJobs.push_back(std::move(row));
    m_changes.jobSteps.push_back({JobId(static_cast<std::uint64_t>(build)), StepId(root), true});
    return *this;
}

FarmChanges& FarmChanges::start(std::uint64_t attempt, std::uint64_t step, int job)
{
    m_changes.newAttempts.push_back({AttemptId(attempt), StepId(step), JobId(static_cast<std::uint64_t>(job)),
                                     MachineId(1), 1, timeAt(100), {}});
    return *this;
}

FarmChanges& FarmChanges::accept(std::uint64_t attempt)
{
    work::AttemptProgress progress;
    progress.state = work::AttemptState::Running;
    progress.started = timeAt(105);
    return end(attempt, progress);
}

FarmChanges& FarmChanges::end(std::uint64_t attempt, work::AttemptEnd end, const std::string& error)
{
    work::AttemptProgress progress = endOf(end);
    progress.error = error;
    return this->end(attempt, progress);
}

FarmChanges& FarmChanges::end(std::uint64_t attempt, const work::AttemptProgress& progress)
{
    m_changes.attempts.push_back({AttemptId(attempt), progress});
    return *this;
}

FarmChanges& FarmChanges::finish(std::uint64_t step, work::StepResult result, const std::string& error)
{
    work::StepProgress progress;
    progress.state = work::StepState::Finished;
    progress.result = result;
    progress.finished = timeAt(160);
    progress.error = error;
    m_changes.steps.push_back({StepId(step), std::move(progress)});
    return *this;
}

FarmChanges& FarmChanges::failBy(std::uint64_t step, std::uint64_t origin)
{
    finish(step, work::StepResult::DependencyFailed);
    m_changes.steps.back().progress.failedDependency = StepId(origin);
    return *this;
}

FarmChanges& FarmChanges::over(int job, work::JobState state, work::StepResult result)
{
    work::JobProgress progress;
    progress.state = state;
    progress.result = result;
    progress.finished = timeAt(160);
    m_changes.jobs.push_back({JobId(static_cast<std::uint64_t>(job)), std::move(progress)});
    return *this;
}

work::AttemptProgress endOf(work::AttemptEnd end, std::vector<work::OutputFact> outputs, work::BuildResults results)
{
    work::AttemptProgress progress;
    progress.state = work::AttemptState::Ended;
    progress.end = end;
    progress.started = timeAt(110);
    progress.stopped = timeAt(150);
    progress.logBytes = 10;
    progress.outputs = std::move(outputs);
    progress.results = std::move(results);
    return progress;
}

} // namespace penstock::test
