// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/jobset_ids.h"

#include <gtest/gtest.h>

namespace penstock::app {
namespace {

using namespace std::chrono_literals;

constexpr Instant kStart{1h};

std::vector<http::HydraJobset> jobsets()
{
    http::HydraJobset jobset;
    jobset.project = "nixpkgs";
    jobset.name = "trunk";
    return {jobset};
}

TEST(JobsetIds, AreShownOnceTheyHaveCome)
{
    JobsetIds ids;
    auto shown = jobsets();
    EXPECT_TRUE(ids.fill(shown, kStart));
    EXPECT_EQ(shown.front().id, 0);
    ids.came(JobsetIds::Map{{"nixpkgs:trunk", 7}}, kStart);
    EXPECT_FALSE(ids.fill(shown, kStart + 1h));
    EXPECT_EQ(shown.front().id, 7);
}

TEST(JobsetIds, AreReadOnceAtATimeHoweverLongThatTakes)
{
    JobsetIds ids;
    auto shown = jobsets();
    EXPECT_TRUE(ids.fill(shown, kStart));
    EXPECT_FALSE(ids.fill(shown, kStart + 60s));
    EXPECT_FALSE(ids.fill(shown, kStart + 1h));
}

TEST(JobsetIds, AreNotReadAgainAtOnceWhenThatFailed)
{
    JobsetIds ids;
    auto shown = jobsets();
    EXPECT_TRUE(ids.fill(shown, kStart));
    ids.came(fail(ErrorCode::Unavailable, "away"), kStart + 30s);
    EXPECT_FALSE(ids.fill(shown, kStart + 31s));
    EXPECT_TRUE(ids.fill(shown, kStart + 41s));
}

TEST(JobsetIds, ThatAreKnownStayWhileTheDatabaseIsAway)
{
    JobsetIds ids;
    auto shown = jobsets();
    EXPECT_TRUE(ids.fill(shown, kStart));
    ids.came(JobsetIds::Map{{"nixpkgs:trunk", 7}}, kStart);
    auto more = jobsets();
    more.push_back({0, "nixpkgs", "staging", {}, 1});
    EXPECT_TRUE(ids.fill(more, kStart + 1h));
    ids.came(fail(ErrorCode::Unavailable, "away"), kStart + 1h);
    EXPECT_FALSE(ids.fill(more, kStart + 1h));
    EXPECT_EQ(more.front().id, 7);
    EXPECT_EQ(more.back().id, 0);
}

} // namespace
} // namespace penstock::app
