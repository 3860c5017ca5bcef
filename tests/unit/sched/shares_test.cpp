// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/sched/shares.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace penstock::sched {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using Groups = std::vector<ShareGroupIndex>;

constexpr Duration kDay = hours(24);

// Ten o'clock of some day, a boundary of buckets.
Now at(Duration since)
{
    return {{hours(3) + since}, {hours(24 * 20'000 + 10) + since}};
}

// The key of a charge.
std::uint64_t keyOf(Duration charge, std::uint32_t shares = work::kDefaultShares)
{
    return static_cast<std::uint64_t>(charge.count()) * 1024 / shares;
}

struct Farm {
    ShareLedger ledger{kDay};
    ShareTicket start(Groups groups, Duration since, std::uint32_t slots = 1)
    {
        return ledger.started(groups, slots, at(since));
    }
    [[nodiscard]] Duration used(ShareGroupIndex group) const { return ledger.view(group).used; }
};

TEST(Shares, ChargeWhatIsHeldForTheWindowAndWhatWasUsedInIt)
{
    Farm farm;
    const auto group = farm.ledger.acquire("a");
    EXPECT_EQ(farm.ledger.key(group), 0U);
    const auto ticket = farm.start({group}, seconds(0));
    EXPECT_EQ(farm.ledger.key(group), keyOf(kDay));
    EXPECT_EQ(farm.used(group), seconds(0));
    farm.ledger.advance(at(minutes(4)));
    EXPECT_EQ(farm.ledger.key(group), keyOf(kDay + minutes(4)));
    EXPECT_EQ(farm.used(group), minutes(4));
    EXPECT_EQ(farm.ledger.view(group).running, 1U);
    farm.ledger.finished(ticket, at(minutes(6)));
    EXPECT_EQ(farm.ledger.key(group), keyOf(minutes(6)));
    EXPECT_EQ(farm.used(group), minutes(6));
    EXPECT_EQ(farm.ledger.view(group).running, 0U);
}

TEST(Shares, GrowLiveWhileAStepRuns)
{
    Farm farm;
    const auto group = farm.ledger.acquire("a");
    const auto ticket = farm.start({group}, seconds(0));
    for (int minute = 1; minute < 30; ++minute) {
        farm.ledger.advance(at(minutes(minute)));
        EXPECT_EQ(farm.ledger.key(group), keyOf(kDay + minutes(minute)));
    }
    farm.ledger.finished(ticket, at(minutes(30)));
    EXPECT_EQ(farm.ledger.key(group), keyOf(minutes(30)));
}

TEST(Shares, CountASlotThatIsHeldAsMuchAsAWholeWindowOfUse)
{
    Farm farm;
    const auto longAgo = farm.ledger.acquire("long ago");
    const auto now = farm.ledger.acquire("now");
    const auto ticket = farm.start({longAgo}, seconds(0));
    farm.ledger.finished(ticket, at(hours(23)));
    EXPECT_GT(farm.ledger.key(longAgo), farm.ledger.key(now));
    (void)farm.start({now}, hours(23));
    EXPECT_LT(farm.ledger.key(longAgo), farm.ledger.key(now)); // 23 hours of use, one slot held for a day
}

TEST(Shares, TakeEffectAtOnceWhenTheyAreSet)
{
    Farm farm;
    const auto group = farm.ledger.acquire("a");
    (void)farm.start({group}, seconds(0));
    EXPECT_EQ(farm.ledger.key(group), keyOf(kDay));
    farm.ledger.setShares(group, 50);
    EXPECT_EQ(farm.ledger.key(group), keyOf(kDay, 50));
    farm.ledger.setShares(group, 60);
    EXPECT_EQ(farm.ledger.key(group), keyOf(kDay, 60));
}

TEST(Shares, DivideByTheSharesOfTheGroup)
{
    Farm farm;
    const auto rich = farm.ledger.acquire("rich");
    const auto poor = farm.ledger.acquire("poor");
    farm.ledger.setShares(rich, 300);
    farm.ledger.setShares(poor, 0); // counts as one
    (void)farm.start({rich}, seconds(0), 3);
    (void)farm.start({poor}, seconds(0));
    EXPECT_EQ(farm.ledger.key(rich), keyOf(kDay * 3, 300));
    EXPECT_EQ(farm.ledger.key(poor), keyOf(kDay, 1));
    EXPECT_EQ(farm.ledger.view(rich).shares, 300U);
}

TEST(Shares, CountSlotsAndSplitAmongThoseWhoWantTheStep)
{
    Farm farm;
    const auto a = farm.ledger.acquire("a");
    const auto b = farm.ledger.acquire("b");
    const auto c = farm.ledger.acquire("c");
    (void)farm.start({a, b}, seconds(0), 4);
    farm.ledger.advance(at(minutes(1)));
    EXPECT_EQ(farm.used(a), minutes(2));
    EXPECT_EQ(farm.used(b), minutes(2));
    const auto three = farm.start({c, a, b}, minutes(1), 1);
    farm.ledger.finished(three, at(minutes(4)));
    const Duration sum = farm.used(a) + farm.used(b) + farm.used(c);
    EXPECT_NEAR(static_cast<double>(sum.count()), 19 * 60e6, 3);
    EXPECT_NEAR(static_cast<double>(farm.used(c).count()), 60e6, 3000);
    EXPECT_GE(farm.used(c), minutes(1)); // the first has what does not divide
}

TEST(Shares, LeaveTheWindowBucketByBucket)
{
    Farm farm;
    const auto group = farm.ledger.acquire("a");
    const auto ticket = farm.start({group}, seconds(0));
    farm.ledger.finished(ticket, at(hours(1)));
    std::uint64_t before = farm.ledger.key(group);
    EXPECT_EQ(before, keyOf(hours(1)));
    for (Duration since = hours(1); since < hours(26); since += seconds(30)) {
        farm.ledger.advance(at(since));
        const std::uint64_t now = farm.ledger.key(group);
        EXPECT_LE(now, before);
        EXPECT_LE(before - now, keyOf(work::kUsageBucket));
        if (since <= hours(24)) { // all of it is in the window
            EXPECT_EQ(now, keyOf(hours(1)));
        }
        before = now;
    }
    EXPECT_EQ(before, 0U);
}

TEST(Shares, ChargeAStepThatOutlivesTheWindowNoMoreThanTheWindow)
{
    Farm farm;
    const auto group = farm.ledger.acquire("a");
    (void)farm.start({group}, seconds(0));
    for (int hour = 1; hour <= 72; ++hour)
        farm.ledger.advance(at(hours(hour)));
    EXPECT_EQ(farm.used(group), kDay);
    farm.ledger.advance(at(hours(72 + 100))); // many buckets at once
    EXPECT_EQ(farm.used(group), kDay);
    farm.ledger.advance(at(hours(172) + seconds(30))); // the current bucket comes on top
    EXPECT_EQ(farm.used(group), kDay + seconds(30));
    EXPECT_EQ(farm.ledger.key(group), keyOf(kDay + kDay + seconds(30)));
}

TEST(Shares, ForgetAGroupOnlyWhenNothingHoldsIt)
{
    Farm farm;
    const auto used = farm.ledger.acquire("used");
    const auto pinned = farm.ledger.acquire("pinned");
    const auto plain = farm.ledger.acquire("plain");
    EXPECT_EQ(farm.ledger.acquire("plain"), plain);
    farm.ledger.setShares(pinned, 7);
    const auto ticket = farm.start({used}, seconds(0));
    for (const auto group : {used, pinned, plain, plain})
        farm.ledger.release(group);
    EXPECT_EQ(farm.ledger.views().size(), 2U);
    farm.ledger.finished(ticket, at(minutes(1)));
    EXPECT_EQ(farm.ledger.views().size(), 2U);
    farm.ledger.advance(at(hours(25)));
    ASSERT_EQ(farm.ledger.views().size(), 1U);
    EXPECT_EQ(farm.ledger.views()[0].group, "pinned");
    EXPECT_EQ(farm.ledger.key(farm.ledger.acquire("used")), 0U);
}

TEST(Shares, KeepABoundedNumberOfIdleGroups)
{
    ShareLedger ledger(kDay, 3);
    for (int i = 0; i < 5; ++i) {
        const auto group = ledger.acquire(fmt::format("g{}", i));
        const auto ticket = ledger.started(Groups{group}, 1, at(minutes(10 * i)));
        ledger.finished(ticket, at(minutes(10 * i + 1)));
        ledger.release(group);
    }
    const auto views = ledger.views();
    ASSERT_EQ(views.size(), 3U);
    EXPECT_EQ(views[0].group, "g2");
    EXPECT_EQ(views[2].group, "g4");
}

TEST(Shares, ChargeNobodyForAStepWithoutGroups)
{
    Farm farm;
    const auto group = farm.ledger.acquire("a");
    const auto ticket = farm.start({}, seconds(0));
    farm.ledger.finished(ticket, at(hours(1)));
    EXPECT_EQ(farm.ledger.key(group), 0U);
    EXPECT_TRUE(farm.ledger.takeDirty().empty());
}

TEST(Shares, DoNotChargeForAWallClockThatIsSet)
{
    Farm farm;
    const auto group = farm.ledger.acquire("a");
    const auto ticket = farm.start({group}, seconds(0));
    Now now = at(seconds(10));
    now.wall = now.wall + hours(5);
    farm.ledger.advance(now);
    EXPECT_EQ(farm.used(group), seconds(10));
    now = at(seconds(20)); // and back
    farm.ledger.advance(now);
    EXPECT_EQ(farm.used(group), seconds(20));
    farm.ledger.advance(at(seconds(15))); // an older Now counts as the last one
    EXPECT_EQ(farm.used(group), seconds(20));
    farm.ledger.finished(ticket, at(minutes(20)));
    EXPECT_EQ(farm.used(group), minutes(20));
}

TEST(Shares, CountInTheCurrentBucketUntilAClockThatWasSetBackHasCaughtUp)
{
    Farm farm;
    const auto group = farm.ledger.acquire("a");
    (void)farm.start({group}, seconds(0));
    farm.ledger.advance(at(minutes(7)));
    for (int minute = 8; minute <= 20; ++minute) {
        Now now = at(minutes(minute));
        now.wall = now.wall + hours(-1);
        farm.ledger.advance(now);
    }
    const auto rows = farm.ledger.takeDirty();
    ASSERT_EQ(rows.size(), 8U);
    EXPECT_EQ(rows[0].bucket, at(minutes(0)).wall);
    EXPECT_EQ(rows[0].used, minutes(1));
    EXPECT_EQ(rows[7].bucket, at(minutes(7)).wall);
    EXPECT_EQ(rows[7].used, minutes(13));
}

TEST(Shares, TellChangedRowsWithTheirWholeAmounts)
{
    Farm farm;
    const auto group = farm.ledger.acquire("a");
    const auto ticket = farm.start({group}, seconds(30));
    EXPECT_TRUE(farm.ledger.takeDirty().empty());
    farm.ledger.advance(at(seconds(135)));
    auto rows = farm.ledger.takeDirty();
    ASSERT_EQ(rows.size(), 3U);
    EXPECT_EQ(rows[0].group, "a");
    EXPECT_EQ(rows[0].bucket, at(minutes(0)).wall);
    EXPECT_EQ(rows[0].used, seconds(30));
    EXPECT_EQ(rows[1].used, seconds(60));
    EXPECT_EQ(rows[2].bucket, at(minutes(2)).wall);
    EXPECT_EQ(rows[2].used, seconds(15));
    EXPECT_TRUE(farm.ledger.takeDirty().empty());
    farm.ledger.finished(ticket, at(seconds(160)));
    rows = farm.ledger.takeDirty();
    ASSERT_EQ(rows.size(), 1U);
    EXPECT_EQ(rows[0].bucket, at(minutes(2)).wall);
    EXPECT_EQ(rows[0].used, seconds(40));
}

TEST(Shares, GoOnAfterARestartWhereTheyWere)
{
    Farm farm;
    const auto group = farm.ledger.acquire("a");
    const auto ticket = farm.start({group}, seconds(0));
    farm.ledger.finished(ticket, at(minutes(33)));
    const auto rows = farm.ledger.takeDirty();

    ShareLedger later(kDay);
    later.load(rows, at(minutes(40)));
    later.load(rows, at(minutes(40))); // twice is harmless
    ASSERT_EQ(later.views().size(), 1U);
    EXPECT_EQ(later.views()[0].used, minutes(33));
    EXPECT_TRUE(later.takeDirty().empty());
    later.advance(at(hours(24) + minutes(10)));
    EXPECT_EQ(later.views()[0].used, minutes(23));
    later.advance(at(hours(25)));
    EXPECT_EQ(later.views().size(), 0U);
}

TEST(Shares, LeaveOutRowsThatMakeNoSense)
{
    ShareLedger ledger(kDay);
    const auto row = [](Duration since, Duration used) {
        return work::UsageRow{.group = "a", .bucket = at(since).wall, .used = used};
    };
    const std::vector<work::UsageRow> rows{row(minutes(-1), minutes(1)),  row(minutes(-10), Duration(-1)),
                                           row(minutes(-15), Duration(0)), row(minutes(5), minutes(1)),
                                           row(hours(-25), minutes(1)),   row(seconds(-1), minutes(2))};
    ledger.load(rows, at(seconds(0)));
    EXPECT_EQ(ledger.views()[0].used, minutes(2)); // the last row is of the first one's bucket
}

TEST(Shares, DoNotOverflowWithAbsurdAmounts)
{
    ShareLedger ledger(kDay);
    const auto group = ledger.acquire("a");
    ledger.setShares(group, 1);
    std::vector<work::UsageRow> rows;
    for (int i = 0; i < 200; ++i)
        rows.push_back({.group = "a", .bucket = at(minutes(-5 * i)).wall, .used = Duration::max()});
    ledger.load(rows, at(seconds(0)));
    const auto ticket = ledger.started(Groups{group}, UINT32_MAX, at(seconds(0)));
    EXPECT_EQ(ledger.key(group), UINT64_MAX);
    EXPECT_EQ(ledger.view(group).used, Duration::max());
    ledger.finished(ticket, at(hours(23)));
    ledger.advance(at(hours(24 * 3)));
    EXPECT_EQ(ledger.key(group), 0U);
}

} // namespace
} // namespace penstock::sched
