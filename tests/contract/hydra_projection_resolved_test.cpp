// SPDX-License-Identifier: GPL-3.0-or-later
// Derivations that are built as others, with Nix's own derivations.
#include "shared/nix/drv.h"
#include "tests/support/golden.h"
#include "tests/support/hydra_farm.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace penstock::test {
namespace {

using ::testing::ElementsAre;
using work::AttemptEnd;
using work::JobState;
using work::StepResult;

const nix::StoreDir kDir = nix::StoreDir::standard();
const std::string kFloatingOut = "/nix/store/qgggmh3l96fi791a1gqbxc2lmf926cxz-floating";
const std::string kDeferredOut = "/nix/store/i0a003y587f9dknfri6ix0xvybvlxm7v-deferred";

std::string goldenPath(const std::string& name)
{
    for (const auto& row : readGoldenTable("nix/drv.tsv"))
        if (row[0] == name)
            return row[1];
    return {};
}

Result<hydra::GivenDerivation> readDrv(const std::string& path)
{
    for (const auto& row : readGoldenTable("nix/drv.tsv"))
        if (row[1] == path)
            return hydra::GivenDerivation{readGolden("nix/drv/" + row[0] + ".drv"), {}};
    return fail(ErrorCode::NotFound, path + " is gone");
}

work::StepRow stepOf(std::uint64_t id, const std::string& name)
{
    work::StepRow row = FarmChanges().step(id, name).get().newSteps.front();
    work::NixWork nix;
    nix.drvPath = goldenPath(name);
    nix.outputs = {{"out", ""}};
    row.spec.work = std::make_shared<const work::Work>(std::move(nix));
    return row;
}

struct HydraResolved : ::testing::Test {
    // The deferred derivation waits for the floating one, which has been built.
    void queueDeferred()
    {
        const std::string path = goldenPath("deferred");
        farm.database().run("UPDATE builds SET drvpath = '" + path + "'; UPDATE penstock.hydra_builds SET drvpath = '" +
                            path + "'");
        work::Changes changes = FarmChanges().job(build, 2).get();
        changes.newSteps = {stepOf(1, "floating"), stepOf(2, "deferred")};
        changes.dependencies = {{StepId(2), StepId(1)}};
        farm.persist(changes);
        farm.persist(FarmChanges().start(1, 1, build).get());
        work::Changes built = FarmChanges()
                                  .end(1, endOf(AttemptEnd::Succeeded, {{"out", kFloatingOut, "", 7}}))
                                  .finish(1, StepResult::Succeeded)
                                  .get();
        built.steps.front().progress.revealed = {{"out", kFloatingOut, "", 7}};
        farm.persist(built);
        (void)farm.told();
    }
    std::vector<std::string> rows()
    {
        return farm.database().rows("SELECT drvpath, busy, status, resolveddrvpath FROM buildsteps "
                                    "WHERE stepnr > 1 ORDER BY stepnr");
    }
    // What the attempts' logs are to be called.
    std::vector<std::string> named;
    HydraFarm farm{true, hydra::Resolver{kDir, readDrv, [this](AttemptId attempt, const std::string& drvPath) {
                                             named.push_back(fmt::format("{} {}", attempt.value(), drvPath));
                                         }}};
    int build = farm.insertBuild("deferred", {"out?"});
};

TEST_F(HydraResolved, ADerivationWhoseInputsAreElsewhereIsBuiltAsAnother)
{
    queueDeferred();
    EXPECT_EQ(farm.database().value("SELECT status FROM buildsteps WHERE stepnr = 1"), "0") << "it needs nothing";
    farm.persist(FarmChanges().start(2, 2, build).get());
    const std::string resolved = farm.database().value("SELECT resolveddrvpath FROM buildsteps WHERE status = 13");
    EXPECT_TRUE(resolved.ends_with("-deferred.drv")) << resolved;
    EXPECT_THAT(rows(), ElementsAre(goldenPath("deferred") + "|0|13|" + resolved,
                                    "/nix/store/" + resolved + "|1|NULL|NULL"));
    EXPECT_THAT(farm.database().stepOutputRows(build),
                ElementsAre("1|out|" + kFloatingOut, "2|out|NULL", "3|out|NULL"));
    EXPECT_THAT(farm.told(), ElementsAre("step_started 1 3", "build_started 1"));
    EXPECT_THAT(named, ElementsAre("2 /nix/store/" + resolved));
    farm.restart();
    EXPECT_THAT(named, ElementsAre("2 /nix/store/" + resolved, "2 /nix/store/" + resolved)) << "as it goes on";

    farm.persist(FarmChanges().end(2, AttemptEnd::Lost, "gone").get());
    work::Changes again = FarmChanges().start(3, 2, build).get();
    again.newAttempts.front().number = 2;
    farm.persist(again);
    EXPECT_EQ(rows().size(), 3U) << "that it became another is said once";
    EXPECT_EQ(farm.told().front(),
              fmt::format("step_finished 1 3 /hydra/build-logs/{}/{}", resolved.substr(0, 2), resolved.substr(2)));
    farm.persist(FarmChanges()
                     .end(3, endOf(AttemptEnd::Succeeded, {{"out", kDeferredOut, "", 9}}))
                     .finish(2, StepResult::Succeeded)
                     .over(build, JobState::Succeeded)
                     .get());
    EXPECT_EQ(farm.build(build), "1|0|110|150|0|150");
    EXPECT_THAT(farm.database().outputRows(build), ElementsAre("out|" + kDeferredOut));
}

// The build that its first attempt was accounted to is cancelled.
TEST_F(HydraResolved, EveryBuildThatHasAnAttemptOfItHasTheRow)
{
    const int again = farm.insertBuild("deferred", {"out?"});
    queueDeferred();
    farm.persist(FarmChanges().job(again, 2).get());
    farm.persist(FarmChanges().start(2, 2, build).get());
    const std::string resolved = farm.database().value("SELECT resolveddrvpath FROM buildsteps WHERE status = 13");
    farm.persist(FarmChanges().end(2, AttemptEnd::Lost, "gone").over(build, JobState::Cancelled).get());
    work::Changes retry = FarmChanges().start(3, 2, again).get();
    retry.newAttempts.front().number = 2;
    farm.persist(retry);
    EXPECT_THAT(farm.database().rows("SELECT drvpath, status, resolveddrvpath FROM buildsteps WHERE build = 2 "
                                     "ORDER BY stepnr"),
                ElementsAre(goldenPath("deferred") + "|13|" + resolved, "/nix/store/" + resolved + "|NULL|NULL"));
    named.clear();
    farm.restart();
    EXPECT_THAT(named, ElementsAre("3 /nix/store/" + resolved));
}

TEST_F(HydraResolved, TheLogOfWhatIsOverIsNamedNoMore)
{
    queueDeferred();
    HydraSession other(farm.database().url());
    other.run("BEGIN; SELECT FROM builds FOR UPDATE");
    farm.persist(FarmChanges().start(2, 2, build).get());
    farm.persist(FarmChanges().end(2, AttemptEnd::Failed, "no").get());
    EXPECT_FALSE(named.empty());
    named.clear();
    other.run("COMMIT");
    farm.waitForRest();
    EXPECT_EQ(rows().size(), 2U);
    EXPECT_TRUE(named.empty()) << named.back();
}

TEST_F(HydraResolved, BuildsAboveNameWhatReallyFailed)
{
    const int above = farm.insertBuild("above");
    const int held = farm.insertBuild("held");
    queueDeferred();
    farm.persist(FarmChanges().step(3, "above").job(above, 3).step(4, "held").job(held, 4).get());
    farm.persist(FarmChanges().start(2, 2, build).get());
    HydraSession other(farm.database().url());
    other.run("BEGIN; UPDATE builds SET iscurrent = 0 WHERE id = 3");
    farm.persist(FarmChanges()
                     .end(2, AttemptEnd::Failed, "no")
                     .finish(2, StepResult::Failed, "no")
                     .failBy(3, 2)
                     .failBy(4, 2)
                     .over(build, JobState::Failed, StepResult::Failed)
                     .over(above, JobState::Failed, StepResult::DependencyFailed)
                     .over(held, JobState::Failed, StepResult::DependencyFailed)
                     .get());
    other.run("COMMIT");
    farm.waitForRest();
    const std::string resolved = farm.database().value("SELECT resolveddrvpath FROM buildsteps WHERE status = 13");
    EXPECT_THAT(farm.database().rows("SELECT build, drvpath, propagatedfrom FROM buildsteps WHERE build > 1 "
                                     "ORDER BY build"),
                ElementsAre("2|/nix/store/" + resolved + "|1", "3|/nix/store/" + resolved + "|1"));
}

TEST_F(HydraResolved, ADerivationThatCannotBeReadIsToldAsItIs)
{
    work::Changes changes = FarmChanges().job(build, 1).start(1, 1, build).get();
    changes.newSteps = {FarmChanges().step(1, "unknown", {"out?"}).get().newSteps.front()};
    farm.persist(changes);
    EXPECT_EQ(farm.database().value("SELECT drvpath FROM buildsteps"), drvPath("unknown"));
}

TEST_F(HydraResolved, AnOlderSchemaKnowsNoResolution)
{
    farm.database().run("UPDATE schemaversion SET version = 86; ALTER TABLE buildsteps DROP COLUMN resolveddrvpath");
    farm.restart();
    farm.database().run("INSERT INTO penstock.hydra_builds (build, drvpath, globalpriority) VALUES (1, '', 0)");
    queueDeferred();
    farm.persist(FarmChanges().start(2, 2, build).get());
    EXPECT_EQ(farm.database().value("SELECT string_agg(drvpath, ' ') FROM buildsteps WHERE stepnr > 1"),
              goldenPath("deferred"));
}

} // namespace
} // namespace penstock::test
