// SPDX-License-Identifier: GPL-3.0-or-later
// Builds that need no work: every row and notification (hydra-database.md 5.5, 5.6, 5.9).
#include "tests/contract/hydra_intake_world.h"

#include "shared/nix/hash.h"
#include "shared/nix/nix_support.h"
#include "tests/support/nar_samples.h"

#include <filesystem>
#include <fmt/format.h>
#include <fstream>

namespace penstock::test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class HydraCached : public IntakeWorld {
protected:
    // Without start and stop times and the time of notification, after they were checked to be now.
    std::string settled(int id)
    {
        EXPECT_EQ(m_database.value(fmt::format(
                      "SELECT starttime = stoptime AND abs(stoptime - extract(epoch from now())) < 60 AND "
                      "coalesce(notificationpendingsince, stoptime) = stoptime FROM builds WHERE id = {}", id)),
                  "t");
        return m_database.value(fmt::format("SELECT finished, buildstatus, iscachedbuild, size, closuresize, "
                                            "releasename, notificationpendingsince IS NOT NULL FROM builds "
                                            "WHERE id = {}", id));
    }
    std::vector<std::string> products(int id)
    {
        return m_database.rows(fmt::format("SELECT productnr, type, subtype, name, filesize, sha256hash, path, "
                                           "defaultpath FROM buildproducts WHERE build = {} ORDER BY productnr", id));
    }
    std::vector<std::string> metrics(int id)
    {
        return m_database.rows(fmt::format("SELECT name, unit, value, project, jobset, job, timestamp FROM "
                                           "buildmetrics WHERE build = {} ORDER BY name", id));
    }
    void addFailedPath(const TestDerivation& derivation)
    {
        m_database.run(fmt::format("INSERT INTO failedpaths VALUES ('{}')", outputOf(derivation)));
    }
    // A finished build with a real failed step of the derivation.
    int failedBuild(const TestDerivation& root, const TestDerivation& step)
    {
        const int id = m_database.insertFinishedBuild(rowOf(root), 1);
        m_database.run(fmt::format("INSERT INTO buildsteps (build, stepnr, type, drvpath, busy, status, starttime, "
                                   "stoptime, machine) VALUES ({0}, 1, 0, '{1}', 0, 1, 5, 6, 'm'); INSERT INTO "
                                   "buildstepoutputs VALUES ({0}, 1, 'out', '{2}')", id, pathOf(step), outputOf(step)));
        return id;
    }
    bool loaderWaits() // for somebody's lock
    {
        return m_database.value("SELECT count(*) FROM pg_stat_activity WHERE application_name = "
                                "'penstock-hydra-loader' AND wait_event_type = 'Lock' AND datname = "
                                "current_database()") == "1";
    }
    // A derivation whose output only a build can tell, its file written. The full path.
    std::string deriveFloating(const std::string& name)
    {
        nix::Derivation drv = derive(name).drv;
        drv.outputs = {{"out", {std::nullopt, "r:sha256", ""}}};
        const auto path = nix::computeDerivationPath(nix::StoreDir::standard(), drv);
        std::ofstream(m_files.path() + "/" + path->baseName()) << nix::printDerivation(nix::StoreDir::standard(), drv);
        return path->print(nix::StoreDir::standard());
    }
    int queueFloating(const std::string& drvPath)
    {
        HydraBuild row;
        row.drvPath = drvPath;
        const int id = m_database.insertBuild(row);
        m_database.run(fmt::format("INSERT INTO buildoutputs VALUES ({}, 'out', NULL)", id));
        return id;
    }
    void loaded(int id)
    {
        waitUntil("it is finished", [&] { return isFinished(id); });
        waitUntil("its row is gone", [&] {
            return m_database.rows(fmt::format("SELECT 1 FROM penstock.hydra_builds WHERE build = {}", id)).empty();
        });
    }
};

TEST_F(HydraCached, CopiesTheResultOfAnEarlierBuild)
{
    const auto a = derive("a");
    build(a);
    const int earlier = m_database.insertFinishedBuild(rowOf(a), 6);
    m_database.run(fmt::format(
        "UPDATE builds SET size = 10, closuresize = 20, releasename = 'r-1' WHERE id = {0};"
        "INSERT INTO buildproducts (build, productnr, type, subtype, name, filesize, sha256hash, path, defaultpath) "
        "VALUES ({0}, 1, 'doc', 'manual', 'x.html', 3, 'ab', '/nix/store/x', ''), "
        "({0}, 2, 'file', '', '', NULL, NULL, '/nix/store/y', 'i');"
        "INSERT INTO buildmetrics (build, name, unit, value, project, jobset, job, timestamp) "
        "VALUES ({0}, 'm', NULL, 1.5, 'project', 'jobset', 'old', 1)", earlier));
    HydraBuild row;
    row.jobset = m_database.insertJobset("other", "set");
    row.timestamp = 1'700'001'234;
    const int id = queue(a, row);
    // What a former run of it has left.
    m_database.run(fmt::format("INSERT INTO buildproducts (build, productnr, type, subtype, name) VALUES ({}, 7, 'a', "
                               "'b', 'c'); UPDATE buildoutputs SET path = NULL WHERE build = {}", id, id));
    start();
    loaded(id);
    EXPECT_EQ(settled(id), "1|6|1|10|20|r-1|t");
    EXPECT_THAT(products(id), ElementsAre("1|doc|manual|x.html|3|ab|/nix/store/x|",
                                          "2|file|||NULL|NULL|/nix/store/y|i"));
    EXPECT_THAT(metrics(id), ElementsAre("m|NULL|1.5|other|set|a|1700001234"));
    EXPECT_THAT(m_database.outputRows(id), ElementsAre("out|" + outputOf(a)));
    EXPECT_THAT(m_database.stepRows(id), IsEmpty());
    EXPECT_THAT(m_recorder.take(), ElementsAre(fmt::format("build_finished {}", id)));
    EXPECT_THAT(m_farm.open(), IsEmpty());
}

TEST_F(HydraCached, ComputesTheResultFromTheStore)
{
    const auto library = derive("library");
    build(library);
    const auto a = derive("a");
    const std::string out = outputOf(a);
    build(a,
          {{"doc", "text"},
           {"nix-support/hydra-build-products", "doc manual " + out + "/doc\nfile bin /elsewhere\n"},
           {"nix-support/hydra-metrics", "size 12 KiB\nspeed 3\n"},
           {"nix-support/hydra-release-name", "a-1.0\n"}},
          {library.output()});
    const int id = queue(a);
    start();
    loaded(id);
    const auto own = m_nix.info(a.output()).value()->narSize;
    const auto all = own + m_nix.info(library.output()).value()->narSize;
    EXPECT_EQ(settled(id), fmt::format("1|0|1|{}|{}|a-1.0|t", own, all));
    EXPECT_THAT(products(id), ElementsAre(fmt::format("1|doc|manual|doc|4|{}|{}/doc|", nix::hashOf("text").base16(),
                                                      out)));
    EXPECT_THAT(metrics(id), ElementsAre("size|KiB|12|project|jobset|a|1700000000",
                                         "speed|NULL|3|project|jobset|a|1700000000"));
    EXPECT_THAT(m_recorder.take(), ElementsAre(fmt::format("build_finished {}", id)));
}

TEST_F(HydraCached, TheMoreOutputsThereAreTheLessEachMaySayOfItself)
{
    const std::map<std::string, std::string> files{
        {"nix-support/hydra-metrics", "size 12\n" + std::string(nix::kMaxSupportFile / 3, ' ')},
        {"nix-support/hydra-release-name", "r-1"}};
    const auto one = derive("one");
    const auto four = derive("four", {}, {"out", "dev", "doc", "lib"});
    build(one, files);
    build(four, files);
    const int modest = queue(one);
    const int greedy = queue(four);
    start();
    loaded(modest);
    loaded(greedy);
    EXPECT_EQ(metrics(modest).size(), 1U);
    EXPECT_THAT(metrics(greedy), IsEmpty());
    EXPECT_THAT(settled(greedy), testing::HasSubstr("|r-1|"));
}

TEST_F(HydraCached, OutputsThatCannotBeReadHoldUpNoOther)
{
    const auto huge = derive("huge");
    const auto slow = derive("slow");
    const auto good = derive("good");
    for (const TestDerivation& each : {huge, slow, good})
        build(each);
    m_nix.setNarError(huge.output(), {ErrorCode::Exhausted, "it is nested too deeply"});
    m_nix.setNarError(slow.output(), {ErrorCode::Timeout, "it took too long"});
    HydraBuild row;
    row.globalPriority = 2; // before the others
    const int tooLarge = queue(huge, row);
    row.globalPriority = 1;
    const int tooSlow = queue(slow, row);
    const int other = queue(good);
    start();
    loaded(other);
    EXPECT_FALSE(isFinished(tooLarge));
    EXPECT_FALSE(isFinished(tooSlow));
}

TEST_F(HydraCached, AnOutputThatSaysThatItFailedIsStatus6AndADirectoryIsAProduct)
{
    const auto a = derive("a");
    build(a, {{"nix-support/failed", ""}});
    const int id = queue(a);
    start();
    loaded(id);
    EXPECT_THAT(settled(id), testing::StartsWith("1|6|1|"));
    EXPECT_THAT(products(id), ElementsAre(fmt::format("1|nix-build||a|NULL|NULL|{}|", outputOf(a))));
}

TEST_F(HydraCached, AnOutputThatOnlyABuildCouldTellIsTakenFromTheRowsOfAnEarlierOne)
{
    const auto instead = derive("instead");
    const auto former = derive("former"); // one made by an older build
    const auto made = derive("made");
    build(made);
    const std::string floating = deriveFloating("floating");
    const std::string lost = deriveFloating("lost");
    const int earlier = queueFloating(floating);
    m_database.run(fmt::format(
        "UPDATE builds SET finished = 1, buildstatus = 0, starttime = 1, stoptime = 1 WHERE id = {0};"
        "INSERT INTO buildsteps (build, stepnr, type, drvpath, busy, status, resolveddrvpath) VALUES "
        "({0}, 1, 0, '{1}', 0, 0, NULL), ({0}, 2, 0, '{1}', 0, 13, '{2}'), ({0}, 3, 0, '{3}', 0, 1, NULL),"
        "({0}, 4, 0, '{3}', 0, 0, NULL), ({0}, 5, 0, '{4}', 0, 0, NULL);"
        "INSERT INTO buildstepoutputs VALUES ({0}, 1, 'out', '{5}'), ({0}, 2, 'out', NULL), ({0}, 4, 'out', '{6}'), "
        "({0}, 5, 'out', '{5}')",
        earlier, floating, instead.path.baseName(), pathOf(instead), lost, outputOf(former), outputOf(made)));
    const int there = queueFloating(floating);
    const int gone = queueFloating(lost);
    start();
    loaded(there);
    EXPECT_THAT(settled(there), testing::StartsWith("1|0|1|"));
    EXPECT_THAT(m_database.outputRows(there), ElementsAre("out|" + outputOf(made)));
    waitUntil("what is not in the store is built", [&] { return m_farm.jobOf(gone).has_value(); });
}

TEST_F(HydraCached, FailsTheBuildOfAFailedDerivation)
{
    const auto a = derive("a");
    addFailedPath(a);
    failedBuild(a, a);
    const int origin = failedBuild(a, a);
    const int id = queue(a);
    start();
    loaded(id);
    EXPECT_EQ(settled(id), "1|1|1|NULL|NULL|NULL|t");
    EXPECT_THAT(m_database.stepRows(id),
                ElementsAre(fmt::format("1|0|{}|0|8|NULL|NULL|NULL||x86_64-linux|{}|NULL", pathOf(a), origin)));
    EXPECT_THAT(m_database.stepOutputRows(id), ElementsAre("1|out|" + outputOf(a)));
    EXPECT_THAT(m_recorder.take(), ElementsAre(fmt::format("build_finished {}", id)));
}

TEST_F(HydraCached, FailsWhatNeedsAFailedDerivationWithoutAnOriginWhenThereIsNone)
{
    const auto a = derive("a");
    const auto b = derive("b", {a});
    const auto c = derive("c", {a, b});
    addFailedPath(a);
    const int id = m_database.insertFinishedBuild(rowOf(c), 2); // it has rows of a former run
    m_database.run(fmt::format("INSERT INTO buildsteps (build, stepnr, type, drvpath, busy, status) VALUES ({}, 3, 0, "
                               "'{}', 0, 3)", id, pathOf(c)));
    m_database.run(fmt::format("UPDATE builds SET finished = 0 WHERE id = {}", id));
    (void)m_recorder.take();
    start();
    loaded(id);
    EXPECT_EQ(settled(id), "1|2|1|NULL|NULL|NULL|t");
    EXPECT_EQ(m_database.stepRows(id).back(),
              fmt::format("4|0|{}|0|8|NULL|NULL|NULL||x86_64-linux|NULL|NULL", pathOf(a)));
    EXPECT_THAT(m_recorder.take(), ElementsAre(fmt::format("build_finished {}", id)));
}

TEST_F(HydraCached, FindsTheOriginByTheOutputOfAnotherDerivation)
{
    const auto a = derive("a");
    addFailedPath(a);
    const int origin = failedBuild(a, a);
    m_database.run("UPDATE buildsteps SET drvpath = '/nix/store/00000000000000000000000000000000-other.drv'");
    const int id = queue(a);
    start();
    loaded(id);
    EXPECT_EQ(m_database.value(fmt::format("SELECT propagatedfrom FROM buildsteps WHERE build = {}", id)),
              fmt::format("{}", origin));
}

TEST_F(HydraCached, AbortsWhatCannotBeReadAndTellsNobody)
{
    const auto gone = derive("gone");
    const auto below = derive("below", {gone});
    const auto garbage = derive("garbage");
    const auto good = derive("good");
    std::filesystem::remove(m_files.path() + "/" + gone.path.baseName());
    std::ofstream(m_files.path() + "/" + garbage.path.baseName()) << "Derive(nonsense";
    const std::vector<int> bad{queue(gone), queue(below), queue(garbage)};
    HydraBuild row = rowOf(good);
    row.drvPath = "no store path";
    const int odd = m_database.insertBuild(row);
    const int fine = queue(good);
    start();
    waitUntil("the good one is loaded", [&] { return m_farm.jobOf(fine).has_value(); });
    for (const int id : {bad[0], bad[1], bad[2], odd}) {
        loaded(id);
        EXPECT_EQ(settled(id), "1|3|NULL|NULL|NULL|NULL|f");
    }
    EXPECT_THAT(m_recorder.take(), IsEmpty());
    EXPECT_EQ(m_farm.open().size(), 1U);
    EXPECT_EQ(m_intake->counters().aborted, 4U);
}

TEST_F(HydraCached, AStoreThatIsNotMountedIsNotAnEmptyOne)
{
    const auto a = derive("a");
    const int id = queue(a);
    std::filesystem::rename(m_files.path(), m_files.path() + ".away");
    start();
    waitUntil("the trouble is told", [&] { return !m_intake->counters().lastError.empty(); });
    EXPECT_FALSE(isFinished(id));
    std::filesystem::rename(m_files.path() + ".away", m_files.path());
    waitUntil("it is loaded", [&] { return m_farm.jobOf(id).has_value(); });
}

TEST_F(HydraCached, ARowThatSomebodyHoldsWaitsAndHoldsUpNothing)
{
    const auto a = derive("a");
    const auto b = derive("b");
    build(a);
    build(b);
    m_options.rescan = std::chrono::hours(1); // nobody tells when it is free, and it is soon
    m_database.insertFinishedBuild(rowOf(a), 0);
    const int held = queue(a);
    const int other = queue(b);
    HydraSession evaluator(m_database.url());
    evaluator.run(fmt::format("BEGIN; UPDATE builds SET iscurrent = 1 WHERE id = {}", held));
    start();
    loaded(other);
    EXPECT_FALSE(isFinished(held));
    evaluator.run("COMMIT");
    loaded(held);
    EXPECT_EQ(buildFinished().size(), 2U);
}

TEST_F(HydraCached, ABuildThatWasRepointedMeanwhileIsNotFinishedWithTheOldResult)
{
    const auto a = derive("a");
    build(a);
    const auto b = derive("b");
    const int id = queue(a);
    HydraSession evaluator(m_database.url());
    evaluator.run(fmt::format("BEGIN; UPDATE builds SET drvpath = '{}' WHERE id = {}", pathOf(b), id));
    start();
    waitUntil("it was looked at", [&] { return m_intake->counters().derivationsRead > 0; });
    evaluator.run("COMMIT");
    waitUntil("the new derivation is loaded", [&] { return m_farm.jobOf(id).has_value(); });
    EXPECT_FALSE(isFinished(id));
    EXPECT_EQ(m_farm.jobOf(id)->root, "b");
}

// The row of nrbuilds comes before builds: who has changed one finished flag holds it, and may want our build next.
TEST_F(HydraCached, SomebodyElsesTransactionGetsTheBuildsItWantsNext)
{
    const auto a = derive("a");
    build(a);
    const int first = m_database.insertFinishedBuild(rowOf(a), 0);
    const int ours = queue(a);
    HydraSession web(m_database.url());
    web.run(fmt::format("SET lock_timeout = '500ms'; BEGIN; UPDATE builds SET finished = 0 WHERE id = {}", first));
    start();
    waitUntil("the loader waits", [&] { return loaderWaits(); });
    web.run(fmt::format("UPDATE builds SET keep = 1 WHERE id = {}", ours));
    web.run("ROLLBACK");
    loaded(ours);
    EXPECT_EQ(buildFinished().size(), 1U);
}

TEST_F(HydraCached, AnOriginThatIsDeletedMeanwhileIsNone)
{
    m_options.rescan = std::chrono::hours(1); // it shall not take a second look
    const auto a = derive("a");
    addFailedPath(a);
    const int origin = failedBuild(a, a);
    const int id = queue(a);
    HydraSession web(m_database.url());
    web.run(fmt::format("BEGIN; DELETE FROM builds WHERE id = {}", origin));
    start();
    waitUntil("the loader waits", [&] { return loaderWaits(); });
    web.run("COMMIT");
    loaded(id);
    EXPECT_EQ(m_database.stepRows(id).back(),
              fmt::format("1|0|{}|0|8|NULL|NULL|NULL||x86_64-linux|NULL|NULL", pathOf(a)));
}

TEST_F(HydraCached, FetchesWhatItCanAndBuildsTheRest)
{
    const auto deep = derive("deep");
    const auto a = derive("a", {deep});
    const auto b = derive("b", {deep, a});
    const auto c = derive("c");
    const auto broken = derive("broken");
    Mutex mutex;
    m_fetch = [&](const nix::StorePathSet& paths) -> Result<nix::StorePathSet> {
        const MutexLock lock(mutex); // expectations of the test are not for several threads
        if (paths.contains(broken.output()))
            return fail(ErrorCode::Unavailable, "the cache does not answer");
        for (const TestDerivation& each : {a, c})
            if (paths.contains(each.output()))
                build(each);
        nix::StorePathSet there;
        for (const nix::StorePath& path : paths)
            if (m_nix.info(path).value())
                there.insert(path);
        return there;
    };
    m_options.useSubstitutes = true;
    const int needs = queue(b);
    const int itself = queue(c);
    const int fails = queue(broken);
    start();
    loaded(itself);
    waitUntil("the others are loaded", [&] { return m_farm.jobOf(needs) && m_farm.jobOf(fails); });
    EXPECT_THAT(m_farm.jobOf(needs)->full, ElementsAre("deep", "b"));
    EXPECT_THAT(settled(itself), testing::StartsWith("1|0|1|"));
    const std::string row = "SELECT stepnr, type, drvpath, busy, status, starttime = stoptime OR stoptime > starttime, "
                            "machine, system FROM buildsteps WHERE build = ";
    EXPECT_THAT(m_database.rows(row + std::to_string(needs)), ElementsAre("1|1|" + pathOf(a) + "|0|0|t||NULL"));
    EXPECT_THAT(m_database.rows(row + std::to_string(itself)), ElementsAre("1|1|" + pathOf(c) + "|0|0|t||NULL"));
    EXPECT_THAT(m_database.stepOutputRows(needs), ElementsAre("1|out|" + outputOf(a)));
    EXPECT_THAT(m_recorder.take(), ElementsAre(fmt::format("build_finished {}", itself)));
    EXPECT_EQ(m_intake->counters().fetched, 2U);
    stop();
}

TEST_F(HydraCached, AChunkThatFailsAfterItsWalkRefersToNothingThatTheFarmNeverGot)
{
    const auto a = derive("a");
    const auto b = derive("b", {a});
    m_fetch = [&](const nix::StorePathSet& paths) -> Result<nix::StorePathSet> {
        if (!paths.contains(a.output()))
            return nix::StorePathSet();
        if (!m_nix.info(a.output()).value())
            build(a);
        return paths;
    };
    m_options.useSubstitutes = true;
    // The first row that says so is refused as a deadlock is.
    m_database.run("CREATE SEQUENCE tries; CREATE FUNCTION refuse() RETURNS trigger AS $$ BEGIN IF nextval('tries') = 1 "
                   "THEN RAISE EXCEPTION 'deadlock' USING ERRCODE = '40P01'; END IF; RETURN NEW; END $$ LANGUAGE "
                   "plpgsql; CREATE TRIGGER refusing BEFORE INSERT ON buildsteps FOR EACH ROW EXECUTE FUNCTION "
                   "refuse()");
    const int id = queue(b);
    start();
    waitUntil("it is loaded", [&] { return m_farm.jobOf(id).has_value(); });
    EXPECT_EQ(m_database.value("SELECT last_value FROM tries"), "1") << "the second time it is there";
    EXPECT_EQ(m_farm.submissions(), 1U);
    EXPECT_EQ(m_farm.conflicts(), 0U);
}

// More than are remembered at a time; meanwhile pass after pass begins.
TEST_F(HydraCached, ABacklogOfBuildsWhoseResultsAreComputedIsWorkedOffWithoutReadingItAgainAndAgain)
{
    constexpr std::uint64_t kBuilds = 400;
    m_mostToCompute = 100;
    m_database.run("BEGIN");
    for (std::uint64_t at = 0; at < kBuilds; ++at) {
        const auto derivation = derive(fmt::format("d{}", at));
        build(derivation);
        queue(derivation);
    }
    m_database.run("COMMIT");
    start();
    waitUntil("all that were read are waiting", [&] {
        const auto counters = m_intake->counters();
        return counters.buildsRead == kBuilds && counters.waiting > 0;
    });
    const int added = queue(derive("added"));
    std::size_t looks = 0;
    waitUntil("all are finished", [&] {
        if (looks++ % 50 == 0)
            notify("builds_added");
        return m_intake->counters().cachedSuccesses == kBuilds;
    });
    waitUntil("the new one is loaded", [&] { return m_farm.jobOf(added).has_value(); });
    // Those that did not fit are read twice.
    EXPECT_LE(m_intake->counters().buildsRead, kBuilds + 1 + (kBuilds - m_mostToCompute));
    waitUntil("nothing waits", [&] { return m_intake->counters().waiting == 0; });
}

TEST_F(HydraCached, ThreeHundredBuildsOnOneFailedDerivationAreFailedAtOnce)
{
    const auto a = derive("a");
    addFailedPath(a);
    const int origin = failedBuild(a, a);
    (void)m_recorder.take();
    std::vector<int> ids;
    for (int at = 0; at < 300; ++at)
        ids.push_back(queue(derive(fmt::format("d{}", at), {a})));
    start();
    waitUntil("all are finished", [&] { return m_intake->counters().cachedFailures == 300; });
    EXPECT_EQ(m_database.value(fmt::format("SELECT count(*) FROM buildsteps WHERE status = 8 AND propagatedfrom = {}",
                                           origin)),
              "300");
    EXPECT_EQ(m_database.value("SELECT count(*) FROM builds WHERE buildstatus = 2 AND finished = 1"), "300");
    EXPECT_EQ(buildFinished().size(), 300U);
}

} // namespace
} // namespace penstock::test
