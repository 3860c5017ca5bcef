// SPDX-License-Identifier: GPL-3.0-or-later
// Chunks that fail, and builds whose results are many or cannot be read.
#include "tests/contract/hydra_intake_world.h"

#include "shared/nix/nix_support.h"

#include <atomic>
#include <fmt/format.h>

namespace penstock::test {
namespace {

using testing::ElementsAre;
using testing::UnorderedElementsAre;

class HydraLoader : public IntakeWorld {};

TEST_F(HydraLoader, AChunkThatFailsAfterItsWalkRefersToNothingThatTheFarmNeverGot)
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
    m_database.run("CREATE SEQUENCE tries; CREATE FUNCTION refuse() RETURNS trigger AS $$ BEGIN IF nextval('tries') = "
                   "1 THEN RAISE EXCEPTION 'deadlock' USING ERRCODE = '40P01'; END IF; RETURN NEW; END $$ LANGUAGE "
                   "plpgsql; CREATE TRIGGER refusing BEFORE INSERT ON buildsteps FOR EACH ROW EXECUTE FUNCTION "
                   "refuse()");
    const int id = queue(b);
    start();
    waitUntil("it is loaded", [&] { return m_farm.jobOf(id).has_value(); });
    EXPECT_EQ(m_database.value("SELECT last_value FROM tries"), "1") << "the second time it is there";
    EXPECT_EQ(m_farm.submissions(), 1U);
    EXPECT_EQ(m_farm.conflicts(), 0U);
}

TEST_F(HydraLoader, WhatIsBeingHandedToTheFarmStaysClaimedWhenItCannotBeLoadedAgain)
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

TEST_F(HydraLoader, OutputsThatCannotBeReadHoldUpNoOther)
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
    waitUntil("it is finished", [&] { return isFinished(other); });
    EXPECT_FALSE(isFinished(tooLarge));
    EXPECT_FALSE(isFinished(tooSlow));
}

TEST_F(HydraLoader, TheMoreOutputsThereAreTheLessEachMaySayOfItself)
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
    waitUntil("it is finished", [&] { return isFinished(modest); });
    waitUntil("it is finished", [&] { return isFinished(greedy); });
    EXPECT_THAT(m_database.rows("SELECT build FROM buildmetrics"), ElementsAre(std::to_string(modest)));
    EXPECT_EQ(m_database.value(fmt::format("SELECT releasename FROM builds WHERE id = {}", greedy)), "r-1");
}

// More than are remembered at a time; meanwhile pass after pass begins.
TEST_F(HydraLoader, ABacklogOfBuildsWhoseResultsAreComputedIsWorkedOffWithoutReadingItAgainAndAgain)
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

} // namespace
} // namespace penstock::test
