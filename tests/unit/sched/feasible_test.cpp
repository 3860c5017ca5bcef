// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/sched/feasible.h"
#include "server/sched/gate.h"

#include <cmath>
#include <gtest/gtest.h>

namespace penstock::sched {
namespace {

protocol::MachineFacts facts()
{
    protocol::MachineFacts facts;
    facts.name = "one";
    facts.systems = {"x86_64-linux", "i686-linux"};
    facts.features = {"kvm", "big-parallel"};
    facts.tags = {"SSD", "rack1"};
    facts.executors = {"nix", "command"};
    facts.os = "Linux";
    return facts;
}

std::optional<MismatchKind> kind(const work::Placement& placement, const protocol::MachineFacts& machine)
{
    const auto why = mismatch(placement, capabilityOf(machine));
    return why ? std::optional(why->kind) : std::nullopt;
}

TEST(Feasible, AnEmptyPlacementRunsAnywhere)
{
    EXPECT_EQ(kind({}, facts()), std::nullopt);
    EXPECT_EQ(kind({}, protocol::MachineFacts{}), std::nullopt);
}

TEST(Feasible, ChecksTheSystemAndKnowsBuiltin)
{
    work::Placement placement;
    placement.system = "i686-linux";
    EXPECT_EQ(kind(placement, facts()), std::nullopt);
    placement.system = "aarch64-linux";
    EXPECT_EQ(kind(placement, facts()), MismatchKind::System);
    placement.system = "builtin";
    EXPECT_EQ(kind(placement, facts()), std::nullopt);
    protocol::MachineFacts noNix = facts();
    noNix.executors = {"command"};
    EXPECT_EQ(kind(placement, noNix), MismatchKind::System);
}

TEST(Feasible, ADerivationThatPrefersALocalBuildFitsEveryMachineAndThoseForSuchOnly)
{
    work::Placement placement;
    placement.executor = "nix";
    placement.features = {"local"};
    EXPECT_EQ(kind(placement, facts()), std::nullopt);
    auto local = facts();
    local.mandatoryFeatures = {"local"};
    EXPECT_EQ(kind(placement, local), std::nullopt);
    placement.features = {};
    EXPECT_EQ(kind(placement, local), MismatchKind::MandatoryFeature);
}

TEST(Feasible, ChecksFeaturesBothWays)
{
    work::Placement placement;
    placement.features = {"kvm"};
    EXPECT_EQ(kind(placement, facts()), std::nullopt);
    placement.features = {"benchmark", "kvm"};
    EXPECT_EQ(kind(placement, facts()), MismatchKind::Feature);
    protocol::MachineFacts picky = facts();
    picky.mandatoryFeatures = {"benchmark"};
    EXPECT_EQ(kind(placement, picky), std::nullopt);
    placement.features = {"kvm"};
    EXPECT_EQ(kind(placement, picky), MismatchKind::MandatoryFeature);
}

TEST(Feasible, ChecksTagsOsUsersAndExecutor)
{
    work::Placement placement;
    placement.tags = {"rack1", "ssd"};
    EXPECT_EQ(kind(placement, facts()), std::nullopt);
    placement.tags = {"gpu"};
    EXPECT_EQ(kind(placement, facts()), MismatchKind::Tag);
    placement.tags.clear();
    placement.os = {"darwin", "linux"};
    EXPECT_EQ(kind(placement, facts()), std::nullopt);
    placement.os = {"darwin"};
    EXPECT_EQ(kind(placement, facts()), MismatchKind::OperatingSystem);
    placement.os.clear();
    placement.user = "ann";
    EXPECT_EQ(kind(placement, facts()), std::nullopt);
    protocol::MachineFacts bobs = facts();
    bobs.users = {"bob"};
    EXPECT_EQ(kind(placement, bobs), MismatchKind::User);
    placement.executor = "container";
    EXPECT_EQ(kind(placement, facts()), MismatchKind::Executor);
    placement.machines = {"two"};
    EXPECT_FALSE(allowsName(placement, "one"));
    EXPECT_TRUE(allowsName(placement, "two"));
}

TEST(Gate, NamesEveryThresholdThatIsCrossedAndAllowsTheLimitItself)
{
    const protocol::Thresholds limits{.cpuPsi = 60, .memoryPsi = 10, .ioPsi = 20, .load1 = 8,
                                      .minFreeDiskBytes = 1000};
    protocol::LoadSample load;
    load.load1 = 8;
    load.diskFreeBytes = 1000;
    EXPECT_TRUE(overThresholds(limits, load).empty());
    load.load1 = 8.1;
    load.diskFreeBytes = 999;
    EXPECT_EQ(overThresholds(limits, load).size(), 2U);
    load.pressure.emplace();
    load.pressure->cpu.someAvg10 = 61;
    load.pressure->memory.fullAvg10 = 11;
    load.pressure->io.fullAvg10 = 21;
    const auto over = overThresholds(limits, load);
    ASSERT_EQ(over.size(), 5U);
    EXPECT_EQ(describe(over.at(0)), "CPU pressure 61.0% > 60.0%");
    EXPECT_TRUE(overThresholds({}, load).empty());
}

TEST(Gate, TurnsAnyLoadIntoAnInteger)
{
    protocol::LoadSample load;
    load.load1 = 3;
    EXPECT_EQ(loadPerCore(load, 2), 1500U);
    EXPECT_EQ(loadPerCore(load, 0), 3000U);
    load.load1 = std::nan("");
    EXPECT_EQ(loadPerCore(load, 2), 0U);
    load.load1 = 1e300;
    EXPECT_EQ(loadPerCore(load, 1), 1'000'000'000U);
    load.load1 = -4;
    EXPECT_EQ(loadPerCore(load, 1), 0U);
}

} // namespace
} // namespace penstock::sched
