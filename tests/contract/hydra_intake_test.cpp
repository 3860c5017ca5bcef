// SPDX-License-Identifier: GPL-3.0-or-later
// Builds that become jobs, and what happens to them.
#include "tests/contract/hydra_intake_world.h"

#include <atomic>
#include <fmt/format.h>
#include <future>

namespace penstock::test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

class HydraIntake : public IntakeWorld {};

TEST_F(HydraIntake, LoadsWhatIsQueuedAndListensThen)
{
    const auto a = derive("a");
    const auto b = derive("b", {a});
    HydraBuild row;
    row.timeout = 180;
    row.globalPriority = 1'700'000'500;
    const int build = queue(b, row);
    start();
    waitUntil("it is loaded", [&] { return m_farm.jobOf(build).has_value(); });
    const FarmJob job = m_farm.jobOf(build).value();
    EXPECT_THAT(job.full, ElementsAre("a", "b"));
    EXPECT_EQ(job.spec.shareGroup, "project:jobset");
    EXPECT_EQ(job.spec.limits.timeout, std::chrono::seconds(180));
    EXPECT_EQ(job.spec.limits.silentTimeout, m_options.maxSilent);
    EXPECT_EQ(job.bumped, WallTime{std::chrono::seconds(1'700'000'500)});
    EXPECT_EQ(m_database.value("SELECT drvpath FROM penstock.hydra_builds"), pathOf(b));

    const int other = queue(a);
    notify("builds_added, '1'");
    waitUntil("the next is loaded", [&] { return m_farm.jobOf(other).has_value(); });
    EXPECT_EQ(m_intake->counters().connections, 2U);
    EXPECT_EQ(m_intake->counters().buildsRead, 2U);
    stop();
    const std::string ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'penstock-hydra%'";
    waitUntil("its connections are closed", [&] { return m_database.value(ours) == "0"; });
}

TEST_F(HydraIntake, AsksNothingWhileNothingIsQueued)
{
    start();
    waitUntil("it has looked", [&] { return m_intake->counters().passesFinished > 0; });
    const std::string last = "SELECT max(state_change) FROM pg_stat_activity WHERE application_name LIKE "
                             "'penstock-hydra%'";
    std::string before;
    waitUntil("it is at rest", [&] { return std::exchange(before, m_database.value(last)) == before; });
    m_database.run("SELECT pg_sleep(1)"); // three times as long as a rescan takes
    EXPECT_EQ(m_database.value(last), before);
    const int build = queue(derive("a"));
    notify("builds_added");
    waitUntil("it is loaded", [&] { return m_farm.jobOf(build).has_value(); });
}

TEST_F(HydraIntake, SharesStepsBetweenChunks)
{
    const auto a = derive("a");
    const auto b = derive("b", {a});
    const auto c = derive("c", {a});
    const int first = queue(b);
    const int second = queue(c);
    start();
    waitUntil("both are loaded", [&] { return m_farm.open().size() == 2; });
    std::vector<std::string> full = m_farm.jobOf(first)->full;
    const std::vector<std::string> others = m_farm.jobOf(second)->full;
    full.insert(full.end(), others.begin(), others.end());
    EXPECT_THAT(full, UnorderedElementsAre("a", "b", "c"));
}

TEST_F(HydraIntake, CancelsWhatWasCancelledOrDeleted)
{
    const int kept = queue(derive("kept"));
    const int cancelled = queue(derive("cancelled"));
    const int deleted = queue(derive("deleted"));
    start();
    waitUntil("all are loaded", [&] { return m_farm.open().size() == 3; });
    m_database.cancel(cancelled);
    waitUntil("it is cancelled", [&] { return m_farm.open().size() == 2; });
    m_database.remove(deleted);
    waitUntil("it is cancelled", [&] { return m_farm.open().size() == 1; });
    EXPECT_TRUE(m_farm.jobOf(kept).has_value());
    EXPECT_THAT(m_farm.cancelled(), ElementsAre(cancelled, deleted));
    // As the web interface wrote it.
    EXPECT_THAT(m_database.buildRow(cancelled), testing::StartsWith("1|4|"));
    EXPECT_THAT(buildFinished(), IsEmpty());
}

TEST_F(HydraIntake, LoadsWhatWasRestarted)
{
    const auto a = derive("a");
    const int build = m_database.insertFinishedBuild(rowOf(a), 1);
    start();
    waitUntil("it has looked", [&] { return m_intake->counters().passesFinished > 0; });
    EXPECT_THAT(m_farm.open(), IsEmpty());
    m_database.restart(build);
    waitUntil("it is loaded", [&] { return m_farm.jobOf(build).has_value(); });
}

TEST_F(HydraIntake, BumpsInBothDirections)
{
    const int build = queue(derive("a"));
    start();
    waitUntil("it is loaded", [&] { return m_farm.jobOf(build).has_value(); });
    m_database.bump(build, 1'800'000'000);
    waitUntil("it is bumped", [&] {
        return m_farm.jobOf(build)->bumped == WallTime{std::chrono::seconds(1'800'000'000)};
    });
    const std::string recorded = "SELECT globalpriority FROM penstock.hydra_builds";
    waitUntil("that is recorded", [&] { return m_database.value(recorded) == "1800000000"; });
    m_database.bump(build, 0);
    waitUntil("it is back in its place", [&] { return !m_farm.jobOf(build)->bumped.has_value(); });
    waitUntil("that is recorded", [&] { return m_database.value(recorded) == "0"; });
}

TEST_F(HydraIntake, LoadsARepointedBuildAnewWithoutBeingTold)
{
    const auto a = derive("a");
    const auto b = derive("b");
    const int build = queue(a);
    start();
    waitUntil("it is loaded", [&] { return m_farm.jobOf(build).has_value(); });
    m_database.run(fmt::format("UPDATE builds SET drvpath = '{}', buildstatus = NULL WHERE id = {}", pathOf(b), build));
    waitUntil("the other derivation is loaded", [&] {
        const auto job = m_farm.jobOf(build);
        return job && job->root == "b";
    });
    EXPECT_THAT(m_farm.cancelled(), ElementsAre(build));
    EXPECT_FALSE(isFinished(build));
}

// Its job is cancelled at once and over much later, and nobody tells when.
TEST_F(HydraIntake, LoadsARunningBuildThatWasRepointedOrRestartedAsSoonAsItHasStopped)
{
    m_options.rescan = std::chrono::hours(1);
    const auto a = derive("a");
    const auto b = derive("b");
    const auto c = derive("c");
    const int repointed = queue(a);
    const int restarted = queue(b);
    const int cancelled = queue(c);
    start();
    waitUntil("all are loaded", [&] { return m_farm.open().size() == 3; });
    m_farm.stopSlowly();
    m_database.run(fmt::format("UPDATE builds SET drvpath = '{}' WHERE id = {}", pathOf(derive("d")), repointed));
    m_database.cancel(restarted);
    m_database.cancel(cancelled);
    waitUntil("they are cancelled", [&] { return m_farm.cancelled().size() == 3; });
    m_database.restart(restarted);
    const auto looked = m_intake->counters().passesFinished;
    waitUntil("it has looked", [&] { return m_intake->counters().passesFinished > looked; });
    EXPECT_THAT(m_farm.open(), IsEmpty());
    EXPECT_EQ(m_farm.cancelled().size(), 3U) << "once each";
    m_farm.letStopped();
    waitUntil("both are loaded", [&] { return m_farm.jobOf(repointed) && m_farm.jobOf(restarted); });
    EXPECT_EQ(m_farm.jobOf(repointed)->root, "d");
    EXPECT_EQ(m_farm.open().size(), 2U);
}

TEST_F(HydraIntake, ComparesAllOfItNowAndThenWhateverIsTold)
{
    queue(derive("a"));
    start();
    waitUntil("it is loaded", [&] { return m_farm.open().size() == 1; });
    const int build = queue(derive("b"));
    waitUntil("the one that nobody told of is loaded", [&] {
        notify("builds_cancelled");
        return m_farm.jobOf(build).has_value();
    });
}

TEST_F(HydraIntake, TellsShares)
{
    const int jobset = m_database.insertJobset("project", "other", 7);
    m_database.insertJobset("project", "empty", 8);
    HydraBuild row;
    row.jobset = jobset;
    queue(derive("a"), row);
    start();
    waitUntil("it is told", [&] { return m_farm.shares()["project:other"] == 7; });
    m_database.run(fmt::format("UPDATE jobsets SET schedulingshares = 9 WHERE id = {}", jobset));
    waitUntil("it is told", [&] { return m_farm.shares()["project:other"] == 9; });
    EXPECT_FALSE(m_farm.shares().contains("project:empty"));
    // That of a jobset whose first build comes later.
    HydraBuild later;
    later.jobset = m_database.insertJobset("project", "later", 11);
    const int build = queue(derive("b"), later);
    notify("builds_added");
    waitUntil("it is loaded", [&] { return m_farm.jobOf(build).has_value(); });
    EXPECT_EQ(m_farm.shares()["project:later"], 11U);
}

TEST_F(HydraIntake, TellsSharesAgainThatWereRefused)
{
    m_options.rescan = std::chrono::hours(1);
    m_farm.refuseShares(2);
    queue(derive("a"));
    start();
    waitUntil("it is told", [&] { return m_farm.shares()["project:jobset"] == 100; });
}

// What the loader knows of a jobset is as old as its chunk.
TEST_F(HydraIntake, SharesThatWereChangedWhileABuildIsLoadedStayChanged)
{
    m_options.useSubstitutes = true;
    std::promise<void> asked;
    std::promise<void> released;
    m_fetch = [&](const nix::StorePathSet&) -> Result<nix::StorePathSet> {
        asked.set_value();
        released.get_future().wait();
        return nix::StorePathSet();
    };
    const int build = queue(derive("a"));
    start();
    asked.get_future().wait();
    m_database.run("UPDATE jobsets SET schedulingshares = 200");
    waitUntil("it is told", [&] { return m_farm.shares()["project:jobset"] == 200; });
    released.set_value();
    waitUntil("it is loaded", [&] { return m_farm.jobOf(build).has_value(); });
    EXPECT_EQ(m_farm.shares()["project:jobset"], 200U);
    stop();
}

TEST_F(HydraIntake, ListsAllStepsWhenOneThatWasTakenToLiveHasEnded)
{
    const auto a = derive("a");
    const auto b = derive("b", {a});
    const auto c = derive("c", {a});
    const int first = queue(b);
    m_farm.refuse({{ErrorCode::Conflict, "no live step for something"}});
    start();
    waitUntil("it is loaded", [&] { return m_farm.jobOf(first).has_value(); });
    EXPECT_THAT(m_farm.jobOf(first)->full, ElementsAre("a", "b"));
    EXPECT_EQ(m_farm.submissions(), 2U);
    const int second = queue(c);
    notify("builds_added");
    waitUntil("it is loaded", [&] { return m_farm.jobOf(second).has_value(); });
}

TEST_F(HydraIntake, OneRefusedBuildHarmsNoOther)
{
    const int good = queue(derive("good"));
    const int bad = queue(derive("bad"));
    const int other = queue(derive("other"));
    m_farm.refuseJobsNamed("bad", {ErrorCode::Invalid, "its name is bad"});
    start();
    waitUntil("the others are loaded", [&] { return m_farm.open().size() == 2; });
    EXPECT_TRUE(m_farm.jobOf(good) && m_farm.jobOf(other));
    waitUntil("it is aborted", [&] { return isFinished(bad); });
    EXPECT_THAT(m_database.buildRow(bad), testing::StartsWith("1|3|"));
}

TEST_F(HydraIntake, WaitsWhileTheFarmTakesNothing)
{
    const int build = queue(derive("a"));
    m_farm.refuse({{ErrorCode::Unavailable, "the database does not keep up"}});
    start();
    waitUntil("it is loaded", [&] { return m_farm.jobOf(build).has_value(); });
    EXPECT_FALSE(isFinished(build));
    EXPECT_EQ(m_farm.submissions(), 2U);
}

TEST_F(HydraIntake, TakesNothingForAbsentWhileTheStoreDoesNotAnswer)
{
    const auto a = derive("a");
    build(a);
    const int there = queue(a);
    const int absent = queue(derive("b"));
    m_nix.setBroken(true);
    start();
    waitUntil("it has asked", [&] { return m_nix.questions() > 0; });
    waitUntil("the trouble is told", [&] { return !m_intake->counters().lastError.empty(); });
    EXPECT_THAT(m_farm.open(), IsEmpty());
    EXPECT_FALSE(isFinished(there));
    m_nix.setBroken(false);
    waitUntil("both are settled", [&] { return isFinished(there) && m_farm.jobOf(absent).has_value(); });
    EXPECT_FALSE(m_farm.jobOf(there).has_value());
    waitUntil("all is well", [&] { return m_intake->counters().lastError.empty(); });
}

TEST_F(HydraIntake, WhatIsBeingHandedToTheFarmStaysClaimedWhenItCannotBeLoadedAgain)
{
    const int build = queue(derive("a"));
    m_farm.hold();
    start();
    waitUntil("it is with the farm", [&] { return m_farm.submissions() == 1; });
    m_database.run("ALTER TABLE jobsets RENAME TO elsewhere");
    std::atomic<bool> isAnswered = false;
    m_intake->buildOne(build, [&](const Result<void>& done) { isAnswered = !done; });
    waitUntil("that fails", [&] { return isAnswered || !m_intake->counters().lastError.empty(); });
    m_database.run("ALTER TABLE elsewhere RENAME TO jobsets");
    const int other = queue(derive("b"));
    notify("builds_added");
    waitUntil("another is with the farm", [&] { return m_farm.submissions() == 2; });
    m_farm.letGo();
    waitUntil("both are loaded", [&] { return m_farm.jobOf(build) && m_farm.jobOf(other); });
    EXPECT_THAT(m_farm.builds(), UnorderedElementsAre(build, other)) << "a job for each";
    stop();
}

TEST_F(HydraIntake, FindsOutWhatHappenedWhileTheDatabaseWasAway)
{
    const int cancelled = queue(derive("a"));
    start();
    waitUntil("it is loaded", [&] { return m_farm.jobOf(cancelled).has_value(); });
    const int added = queue(derive("b"));
    m_database.run(fmt::format("BEGIN; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name "
                               "LIKE 'penstock-hydra%'; UPDATE builds SET finished = 1, buildstatus = 4, "
                               "starttime = 1, stoptime = 1 WHERE id = {}; COMMIT",
                               cancelled));
    waitUntil("both are seen", [&] { return m_farm.jobOf(added) && !m_farm.jobOf(cancelled); });
}

TEST_F(HydraIntake, LoadsOnlyWhatIsAskedForWhenItDoesNotWatchTheQueue)
{
    m_options.monitorsQueue = false;
    const auto a = derive("a");
    const int asked = queue(a);
    queue(derive("b"));
    start();
    std::vector<Result<void>> answers;
    Mutex mutex;
    const auto remember = [&](const Result<void>& done) {
        const MutexLock lock(mutex);
        answers.push_back(done);
    };
    const auto count = [&] {
        const MutexLock lock(mutex);
        return answers.size();
    };
    m_intake->buildOne(asked, remember);
    waitUntil("it is answered", [&] { return count() == 1; });
    EXPECT_TRUE(answers.front());
    EXPECT_EQ(m_farm.open().size(), 1U);
    EXPECT_TRUE(m_farm.jobOf(asked).has_value());
    m_intake->buildOne(asked, remember); // it has it already
    m_intake->buildOne(4711, remember);
    waitUntil("both are answered", [&] { return count() == 3; });
    const auto isMissing = [](const Result<void>& each) { return !each && each.error().code == ErrorCode::NotFound; };
    EXPECT_EQ(std::ranges::count_if(answers, isMissing), 1);
    m_database.cancel(asked);
    waitUntil("it is cancelled", [&] { return m_farm.open().empty(); });
    stop();
}

TEST_F(HydraIntake, AddsBuildsThatAreAskedFor)
{
    const auto a = derive("a");
    start();
    std::vector<Result<hydra::BuildId>> answers;
    Mutex mutex;
    const auto remember = [&](const Result<hydra::BuildId>& done) {
        const MutexLock lock(mutex);
        answers.push_back(done);
    };
    const auto count = [&] {
        const MutexLock lock(mutex);
        return answers.size();
    };
    waitUntil("it has looked", [&] { return m_intake->counters().passesFinished > 0; });
    m_intake->addBuild(a.path.baseName(), 1, remember);
    waitUntil("it is answered", [&] { return count() == 1; });
    ASSERT_TRUE(answers.front()) << answers.front().error().message;
    const int id = *answers.front();
    waitUntil("it is loaded", [&] { return m_farm.jobOf(id).has_value(); });
    EXPECT_EQ(m_database.value("SELECT job, nixname, maxsilent, timeout, priority, system FROM builds"),
              "debug|debug|7200|36000|100|x86_64-linux");
    EXPECT_THAT(m_database.outputRows(id), ElementsAre("out|" + outputOf(a)));
    EXPECT_THAT(m_recorder.take(), ElementsAre("builds_added ?"));
    m_intake->addBuild("nonsense", 1, remember);
    m_intake->addBuild(a.path.baseName(), 99, remember);
    waitUntil("both are answered", [&] { return count() == 3; });
    EXPECT_EQ(answers[1].error().code, ErrorCode::Invalid);
    EXPECT_EQ(answers[2].error().code, ErrorCode::NotFound);
    stop();
}

TEST_F(HydraIntake, ManyBumpsAreOneLookAndTakeEffectAtOnce)
{
    const auto a = derive("a");
    m_database.run(fmt::format("INSERT INTO builds (finished, timestamp, jobset_id, job, drvpath, system) SELECT 0, "
                               "1700000000, 1, 'j' || i, '{}', 'x86_64-linux' FROM generate_series(1, 3000) i",
                               pathOf(a)));
    start();
    waitUntil("all are loaded", [&] { return m_farm.open().size() == 3'000; });
    const auto wakeUps = m_intake->counters().wakeUps;
    m_database.run("UPDATE builds SET globalpriority = 1800000000");
    waitUntil("all are bumped", [&] {
        return m_database.value("SELECT count(*) FROM penstock.hydra_builds WHERE globalpriority > 0") == "3000";
    });
    EXPECT_EQ(m_intake->counters().bumped, 3'000U);
    EXPECT_LE(m_intake->counters().wakeUps - wakeUps, 2U);
}

} // namespace
} // namespace penstock::test
