// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/sched/history.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace penstock::sched {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20U;

WallTime at(std::int64_t second)
{
    return {seconds(second)};
}

RunFacts run(Duration duration, double cpus = 1.0, std::uint64_t bytes = 0)
{
    return {.duration = duration,
            .cpuTime = Duration(static_cast<std::int64_t>(static_cast<double>(duration.count()) * cpus)),
            .maxRssBytes = bytes};
}

TEST(HistoryKey, LeavesOutTheVersionAsNixDoes)
{
    EXPECT_EQ(historyKey("gcc-12.2.0"), "gcc");
    EXPECT_EQ(historyKey("python3.11-requests-2.31.0"), "python3.11-requests");
    EXPECT_EQ(historyKey("linux-6.1"), "linux");
    EXPECT_EQ(historyKey("hello"), "hello");
    EXPECT_EQ(historyKey("hello-2.12.1.drv"), "hello");
    EXPECT_EQ(historyKey("apache-httpd-2.0.48"), "apache-httpd");
    EXPECT_EQ(historyKey("perl5.36.0-Test-Deep-1.204"), "perl5.36.0-Test-Deep");
    EXPECT_EQ(historyKey("glibc-2.37-8"), "glibc");
    EXPECT_EQ(historyKey("source-_x"), "source");
    EXPECT_EQ(historyKey("nixos-test-driver-login"), "nixos-test-driver-login");
}

TEST(HistoryKey, KeepsNamesThatHaveNoVersion)
{
    EXPECT_EQ(historyKey(""), "");
    EXPECT_EQ(historyKey("-"), "-");
    EXPECT_EQ(historyKey("-1.0"), "-1.0");
    EXPECT_EQ(historyKey("trailing-"), "trailing-");
    EXPECT_EQ(historyKey("nightly build"), "nightly build");
    EXPECT_EQ(historyKey("bau-\xC3\xBC" "bersicht"), "bau-\xC3\xBC" "bersicht");
}

TEST(HistoryKey, IsBoundedAndCutsBetweenCharacters)
{
    EXPECT_EQ(historyKey(std::string(1000, 'x')).size(), kHistoryNameBytes);
    std::string wide = "x";
    while (wide.size() < 200)
        wide += "\xE2\x82\xAC"; // three bytes; 128 falls inside one
    EXPECT_EQ(historyKey(wide).size(), 127U);
    EXPECT_EQ(historyKey(std::string(300, '\x80')).size(), kHistoryNameBytes);
}

TEST(History, KnowsNothingOfWhatNeverRan)
{
    History history;
    EXPECT_EQ(history.estimate("hello-1"), std::nullopt);
    history.record("hello-1", run(Duration(0)), at(1));
    history.record("", run(seconds(1)), at(1));
    EXPECT_EQ(history.estimate("hello-1"), std::nullopt);
    EXPECT_EQ(history.estimate(""), std::nullopt);
    EXPECT_EQ(history.size(), 0U);
}

TEST(History, TakesTheFirstRunWholeAndAQuarterOfLaterOnes)
{
    History history;
    history.record("gcc-12.1.0", run(seconds(1000)), at(1));
    EXPECT_EQ(history.estimate("gcc-12.2.0")->duration, seconds(1000));
    history.record("gcc-12.2.0", run(seconds(2000)), at(2));
    EXPECT_EQ(history.estimate("gcc-13")->duration, seconds(1250));
    EXPECT_EQ(history.estimate("gcc-13")->memoryBytes, 0U);
    EXPECT_EQ(history.size(), 1U);
}

TEST(History, IsNotSpoiltByOneStuckMachine)
{
    History history;
    for (int i = 0; i < 5; ++i)
        history.record("a", run(seconds(100)), at(i));
    history.record("a", run(hours(24)), at(9));
    EXPECT_EQ(history.estimate("a")->duration, seconds(175));
    for (int i = 0; i < 20; ++i)
        history.record("a", run(seconds(100)), at(10 + i));
    EXPECT_LT(history.estimate("a")->duration, seconds(101));
}

TEST(History, AsksForThePeakAndAFifthOnACoarseGrid)
{
    History history;
    history.record("a", run(seconds(1), 1, 100 * kMiB), at(1));
    EXPECT_EQ(history.estimate("a")->memoryBytes, 128 * kMiB);
    history.record("b", run(seconds(1), 1, 110 * kMiB), at(1));
    EXPECT_EQ(history.estimate("b")->memoryBytes, 192 * kMiB);
    history.record("small", run(seconds(1), 1, 1), at(1));
    EXPECT_EQ(history.estimate("small")->memoryBytes, 16 * kMiB);
    history.record("exact", run(seconds(1), 1, 160 * kMiB), at(1));
    EXPECT_EQ(history.estimate("exact")->memoryBytes, 192 * kMiB);
    history.record("liar", run(seconds(1), 1, UINT64_MAX), at(1));
    EXPECT_EQ(history.estimate("liar")->memoryBytes, (std::uint64_t{1} << 50U) / 2 * 3);
}

TEST(History, ForgetsAnOldPeakSlowly)
{
    History history;
    history.record("a", run(seconds(1), 1, 1000 * kMiB), at(1));
    history.record("a", run(seconds(1), 1, 10 * kMiB), at(2));
    EXPECT_EQ(history.estimate("a")->memoryBytes, 1536 * kMiB);
    for (int i = 0; i < 60; ++i)
        history.record("a", run(seconds(1), 1, 10 * kMiB), at(3 + i));
    EXPECT_EQ(history.estimate("a")->memoryBytes, 16 * kMiB);
    history.record("a", run(seconds(1)), at(99)); // not measured says nothing
    EXPECT_EQ(history.estimate("a")->memoryBytes, 16 * kMiB);
}

TEST(History, RoundsCpusUpAndDoesNotFlutter)
{
    History history;
    history.record("one", run(seconds(100), 1.03), at(1));
    EXPECT_EQ(history.estimate("one")->cpus, 1U);
    history.record("idle", run(seconds(100), 0.01), at(1));
    EXPECT_EQ(history.estimate("idle")->cpus, 1U);
    history.record("two", run(seconds(100), 1.4), at(1));
    EXPECT_EQ(history.estimate("two")->cpus, 2U);
    for (int i = 0; i < 50; ++i) {
        history.record("two", run(seconds(100), i % 2 == 0 ? 2.1 : 1.9), at(2 + i));
        EXPECT_EQ(history.estimate("two")->cpus, 2U);
    }
    for (int i = 0; i < 30; ++i)
        history.record("two", run(seconds(100), 7.5), at(60 + i));
    EXPECT_EQ(history.estimate("two")->cpus, 8U);
    for (int i = 0; i < 60; ++i)
        history.record("two", run(seconds(100), 0.5), at(100 + i));
    EXPECT_EQ(history.estimate("two")->cpus, 1U);
}

TEST(History, ChangesCpusOnlyWhenClearlyPastAWholeNumber)
{
    History history;
    std::int64_t second = 0;
    const auto settledAt = [&](double cpus) {
        for (int i = 0; i < 50; ++i)
            history.record("a", run(seconds(100), cpus), at(++second));
        return history.estimate("a")->cpus;
    };
    EXPECT_EQ(settledAt(2.0), 2U);
    EXPECT_EQ(settledAt(2.1), 2U);
    EXPECT_EQ(settledAt(2.3), 3U);
    EXPECT_EQ(settledAt(1.9), 3U);
    EXPECT_EQ(settledAt(1.7), 2U);
    EXPECT_EQ(settledAt(0.9), 2U);
    EXPECT_EQ(settledAt(0.7), 1U);
}

TEST(History, SurvivesAbsurdMeasurements)
{
    History history;
    const RunFacts absurd{.duration = Duration::max(), .cpuTime = Duration::max(), .maxRssBytes = UINT64_MAX};
    for (int i = 0; i < 10; ++i) {
        history.record("a", absurd, at(i));
        history.record("b", {.duration = Duration(1), .cpuTime = Duration::max(), .maxRssBytes = 1}, at(i));
        history.record("c", {.duration = Duration(1), .cpuTime = Duration::min(), .maxRssBytes = 0}, at(i));
    }
    EXPECT_EQ(history.estimate("a")->duration, hours(24 * 366));
    EXPECT_EQ(history.estimate("b")->cpus, 4096U);
    EXPECT_EQ(history.estimate("c")->cpus, 1U);
}

TEST(History, TellsOnlyWhatIsNewOrMovedByMoreThanATenth)
{
    History history;
    history.record("a", run(seconds(100)), at(1));
    ASSERT_EQ(history.takeDirty().size(), 1U);
    EXPECT_TRUE(history.takeDirty().empty());
    history.record("a", run(seconds(130)), at(2)); // 107.5
    EXPECT_TRUE(history.takeDirty().empty());
    history.record("a", run(seconds(130)), at(3)); // 113.1: moved in two small steps
    const auto rows = history.takeDirty();
    ASSERT_EQ(rows.size(), 1U);
    EXPECT_EQ(rows[0].name, "a");
    EXPECT_EQ(rows[0].runs, 3U);
    EXPECT_EQ(rows[0].lastRun, at(3));
    history.record("a", run(seconds(113), 1, 50 * kMiB), at(4));
    EXPECT_EQ(history.takeDirty().size(), 1U);
    history.record("a", run(seconds(113), 9, 50 * kMiB), at(5));
    EXPECT_EQ(history.takeDirty().size(), 1U);
}

TEST(History, SaysTheSameAfterARestart)
{
    History before;
    for (int i = 0; i < 50; ++i)
        before.record(fmt::format("name{}", i), run(seconds(i + 1), i % 4, static_cast<std::uint64_t>(i) * 77 * kMiB),
                      at(i));
    const auto rows = before.takeDirty();
    ASSERT_EQ(rows.size(), 50U);
    History later;
    later.load(rows);
    for (int i = 0; i < 50; ++i)
        EXPECT_EQ(later.estimate(fmt::format("name{}", i)), before.estimate(fmt::format("name{}", i)));
    EXPECT_TRUE(later.takeDirty().empty());
}

TEST(History, LeavesOutRowsThatMakeNoSenseOrAreTooMany)
{
    History history(2);
    const auto row = [](std::string name, std::int64_t second) {
        return work::HistoryRow{.name = std::move(name), .runs = 1, .duration = seconds(5), .lastRun = at(second)};
    };
    std::vector<work::HistoryRow> rows{row("new", 30), row("old", 10), row("newer", 40), row("", 50),
                                       row("gcc-12", 60)};
    rows.push_back(row("never", 70));
    rows.back().runs = 0;
    history.load(rows);
    EXPECT_TRUE(history.estimate("new"));
    EXPECT_TRUE(history.estimate("newer"));
    EXPECT_FALSE(history.estimate("old"));
    EXPECT_FALSE(history.estimate("gcc"));
    EXPECT_FALSE(history.estimate("never"));
    history.record("fresh", run(seconds(1)), at(80));
    EXPECT_FALSE(history.estimate("new"));
    EXPECT_TRUE(history.estimate("newer"));
}

TEST(History, ForgetsTheNameThatRanLongestAgo)
{
    History history(3);
    for (const char* name : {"a", "b", "c", "a", "d"})
        history.record(name, run(seconds(1)), at(1));
    EXPECT_EQ(history.size(), 3U);
    EXPECT_FALSE(history.estimate("b"));
    for (const char* name : {"a", "c", "d"})
        EXPECT_TRUE(history.estimate(name)) << name;
    const auto rows = history.takeDirty();
    EXPECT_EQ(rows.size(), 3U); // b's place was taken by d, and is told once
}

TEST(History, FindsEveryNameAmongManyThatComeAndGo)
{
    History history(1000);
    for (int i = 0; i < 10'000; ++i)
        history.record(fmt::format("package{}x", i), run(milliseconds(i + 1)), at(i));
    EXPECT_EQ(history.size(), 1000U);
    for (int i = 0; i < 10'000; ++i) {
        const auto found = history.estimate(fmt::format("package{}x", i));
        ASSERT_EQ(found.has_value(), i >= 9000) << i;
        if (found) {
            EXPECT_EQ(found->duration, milliseconds(i + 1));
        }
    }
    EXPECT_EQ(history.takeDirty().size(), 1000U);
}

} // namespace
} // namespace penstock::sched
