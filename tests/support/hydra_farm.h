// SPDX-License-Identifier: GPL-3.0-or-later
// A store with Hydra's projection over a fresh Hydra database, and the changes that a core would hand it. Job ids are
// the builds' ids; machine 1 is "m1". Times are seconds after kBegin: an attempt is made at 100, started at 110,
// stopped at 150, and the clock stands at 200 until it is set.
#pragma once

#include "server/hydra/projection.h"
#include "server/store/postgres/postgres_store.h"
#include "tests/support/hydra_database.h"

#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

namespace penstock::test {

class HydraFarm {
public:
    static constexpr std::int64_t kBegin = 1'790'000'000; // Unix seconds

    explicit HydraFarm(bool cacheFailures = true, std::optional<hydra::Resolver> resolver = {});

    // Ends the server and starts another on the same rows.
    void restart();
    // Waits until it is durable; fails the test when it cannot be.
    void persist(const work::Changes& changes);
    // Calls later() as an idle writer does.
    store::postgres::Projection::Rest later();
    // Until the writer, when idle, has written what had to wait; fails the test after a minute.
    void waitForRest();
    // Until the statement gives this value, likewise.
    void waitForValue(const std::string& statement, const std::string& value);

    [[nodiscard]] HydraDatabase& database() { return m_database; }
    [[nodiscard]] NotificationRecorder& recorder() { return m_recorder; }
    [[nodiscard]] hydra::Projection& projection() { return *m_projection; }
    [[nodiscard]] store::PostgresStore& store() { return *m_store; }
    void setClock(std::int64_t seconds) { m_clock.seconds = seconds; }

    // A build as the evaluator makes it, and intake's row for it. Of derivation `name` with the outputs; those whose
    // name ends in '?' have no known path.
    int insertBuild(const std::string& name, std::vector<std::string> outputs = {"out"});

    // Without the number of the row, the step's number and type: "drv|busy|status|errormsg|start|stop|machine|system|
    // origin", where the derivation is its name and times are seconds after kBegin.
    [[nodiscard]] std::vector<std::string> steps(int build);
    // "finished|buildstatus|start|stop|iscachedbuild|pending", times likewise.
    [[nodiscard]] std::string build(int build);
    [[nodiscard]] std::vector<std::string> sideRows(); // of hydra_builds and hydra_attempts
    // Those of the recorder, without builds_cancelled and so on.
    [[nodiscard]] std::vector<std::string> told();

private:
    struct SetClock final : Clock {
        [[nodiscard]] Now now() const override;
        std::int64_t seconds = 200;
    };
    void open();

    HydraDatabase m_database;
    NotificationRecorder m_recorder;
    SetClock m_clock;
    hydra::Options m_options;
    std::optional<hydra::Resolver> m_resolver;
    std::unique_ptr<hydra::Projection> m_projection;
    std::unique_ptr<store::PostgresStore> m_store;
};

[[nodiscard]] std::string drvPath(const std::string& name);
[[nodiscard]] std::string outPath(const std::string& name, const std::string& output = "out");
[[nodiscard]] WallTime timeAt(std::int64_t seconds); // after HydraFarm::kBegin

// What a core says.
class FarmChanges {
public:
    FarmChanges& machine();
    FarmChanges& step(std::uint64_t id, const std::string& name, const std::vector<std::string>& outputs = {"out"});
    FarmChanges& job(int build, std::uint64_t root);
    FarmChanges& start(std::uint64_t attempt, std::uint64_t step, int job);
    FarmChanges& accept(std::uint64_t attempt);
    // With a log of 10 bytes; outputs of good ends are added with told().
    FarmChanges& end(std::uint64_t attempt, work::AttemptEnd end, const std::string& error = {});
    FarmChanges& end(std::uint64_t attempt, const work::AttemptProgress& progress);
    FarmChanges& finish(std::uint64_t step, work::StepResult result, const std::string& error = {});
    FarmChanges& failBy(std::uint64_t step, std::uint64_t origin);
    FarmChanges& over(int job, work::JobState state, work::StepResult result = work::StepResult::Succeeded);

    [[nodiscard]] const work::Changes& get() const { return m_changes; }

private:
    work::Changes m_changes;
};

// An end as a builder tells it.
[[nodiscard]] work::AttemptProgress endOf(work::AttemptEnd end, std::vector<work::OutputFact> outputs = {},
                                          work::BuildResults results = {});

} // namespace penstock::test
