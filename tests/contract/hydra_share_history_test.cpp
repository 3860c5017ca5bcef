// SPDX-License-Identifier: GPL-3.0-or-later
// What other runners' steps have used counts for the shares (hydra-database.md 5.2, 6.5).
#include "tests/support/hydra_farm.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <optional>

namespace penstock::test {
namespace {

using testing::ElementsAre;

constexpr std::int64_t kWindow = 600; // the default
constexpr std::int64_t kMinute = 40; // the first full one, in seconds after HydraFarm::kBegin as all times here

class HydraShareHistory : public testing::Test {
protected:
    // A finished step of another runner.
    void step(int build, std::optional<std::int64_t> start, std::optional<std::int64_t> stop)
    {
        const auto text = [](std::optional<std::int64_t> at) {
            return at ? fmt::format("{}", HydraFarm::kBegin + *at) : std::string("NULL");
        };
        m_farm.database().run(fmt::format("INSERT INTO buildsteps (build, stepnr, type, drvpath, busy, status, "
                                          "starttime, stoptime) VALUES ({}, {}, 0, '/nix/store/x.drv', 0, 0, {}, {})",
                                          build, ++m_lastStep, text(start), text(stop)));
    }
    // "group|minute|seconds", minutes as the seconds at which they begin.
    std::vector<std::string> usage()
    {
        return m_farm.database().rows(fmt::format("SELECT group_name, bucket_us / 1000000 - {}, used_us / 1000000.0 "
                                                  "= used_us / 1000000, used_us / 1000000 FROM penstock.share_usage "
                                                  "ORDER BY bucket_us, group_name", HydraFarm::kBegin));
    }
    int build(int jobset = 1)
    {
        return m_farm.database().insertFinishedBuild(
            {.jobset = jobset, .drvPath = "/nix/store/x.drv", .outputs = {}}, 0);
    }

    HydraFarm m_farm;
    int m_lastStep = 100;
};

TEST_F(HydraShareHistory, IsCountedInMinutesOfEachJobset)
{
    const int ours = build();
    const int other = build(m_farm.database().insertJobset("other", "set"));
    step(ours, kMinute + 50, kMinute + 130);
    step(ours, kMinute + 10, kMinute + 20);
    step(other, kMinute + 60, kMinute + 61);
    step(other, kMinute + 61, kMinute + 61); // took no time
    step(other, std::nullopt, std::nullopt); // propagated
    m_farm.restart();
    EXPECT_THAT(usage(), ElementsAre("project:jobset|40|t|20", "other:set|100|t|1", "project:jobset|100|t|60",
                                     "project:jobset|160|t|10"));
    const auto recovery = m_farm.store().loadOpen();
    ASSERT_TRUE(recovery) << recovery.error().message;
    EXPECT_EQ(recovery->usage.size(), 4U);
}

TEST_F(HydraShareHistory, IsOfTheWindowAndNeverOfTheFuture)
{
    const std::int64_t begin = kMinute + 120 - kWindow; // the minute of now, and those of the window before it
    const int id = build();
    step(id, begin - 100, begin); // over by then
    step(id, begin - 50, begin + 2);
    step(id, 198, 1'000);
    step(id, 300, 400);
    m_farm.restart();
    EXPECT_THAT(usage(), ElementsAre(fmt::format("project:jobset|{}|t|2", begin),
                                     fmt::format("project:jobset|{}|t|2", kMinute + 120)));
}

TEST_F(HydraShareHistory, GoesOnFromWhereOursEnds)
{
    const int id = build();
    step(id, 100, 110);
    m_farm.restart();
    EXPECT_THAT(usage(), ElementsAre("project:jobset|100|t|10"));
    m_farm.database().run("UPDATE penstock.share_usage SET used_us = 7000000"); // as it was counted here
    m_farm.restart();
    EXPECT_THAT(usage(), ElementsAre("project:jobset|100|t|7"));
    // Then another runner did some; usage of others than jobsets says nothing about it.
    m_farm.database().run(fmt::format("INSERT INTO penstock.share_usage (digest, group_name, bucket_us, used_us) "
                                      "VALUES ('x', 'people', {}, 1000000)", (HydraFarm::kBegin + 400) * 1'000'000));
    step(id, 170, 180);
    m_farm.setClock(500);
    m_farm.restart();
    EXPECT_THAT(usage(), ElementsAre("project:jobset|100|t|7", "project:jobset|160|t|10", "people|400|t|1"));
}

} // namespace
} // namespace penstock::test
