// SPDX-License-Identifier: GPL-3.0-or-later
// The share ledger and the history against models that keep everything, and laws of the machine health.
#include "server/sched/history.h"
#include "server/sched/shares.h"
#include "server/work/health.h"

#include <algorithm>
#include <array>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

namespace penstock::sched {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

__extension__ using Wide = __int128;
constexpr std::int64_t kBucket = work::kUsageBucket.count();

// ------------------------------------------------------------------------------------------------------- shares

// Every interval of every step, added up anew for each question. Time is wall time in microseconds.
struct NaiveLedger {
    struct Interval {
        std::vector<std::size_t> groups;
        std::int64_t slots = 1;
        std::int64_t from = 0;
        std::int64_t to = 0;
        bool isRunning = true;
    };
    std::int64_t window = 0; // a multiple of kBucket
    std::vector<Interval> intervals = {};
    std::map<std::size_t, std::uint32_t> shares = {};

    static std::int64_t partOf(const Interval& interval, std::size_t group)
    {
        const auto count = static_cast<std::int64_t>(interval.groups.size());
        const std::int64_t all = interval.slots * 65536;
        for (std::size_t i = 0; i < interval.groups.size(); ++i)
            if (interval.groups[i] == group)
                return all / count + (static_cast<std::int64_t>(i) < all % count ? 1 : 0);
        return 0;
    }
    // In 1/65536 slot x microsecond, between two times.
    [[nodiscard]] Wide usedBetween(std::size_t group, std::int64_t begin, std::int64_t end, std::int64_t now) const
    {
        Wide sum = 0;
        for (const Interval& interval : intervals) {
            const std::int64_t from = std::max(interval.from, begin);
            const std::int64_t to = std::min(interval.isRunning ? now : interval.to, end);
            if (to > from)
                sum += Wide{partOf(interval, group)} * (to - from);
        }
        return sum;
    }
    [[nodiscard]] Wide used(std::size_t group, std::int64_t now) const
    {
        return usedBetween(group, now / kBucket * kBucket - window, now, now);
    }
    [[nodiscard]] std::uint64_t key(std::size_t group, std::int64_t now) const
    {
        Wide sum = used(group, now);
        for (const Interval& interval : intervals)
            if (interval.isRunning)
                sum += Wide{partOf(interval, group)} * window;
        const auto found = shares.find(group);
        return static_cast<std::uint64_t>(sum / 64 / (found == shares.end() ? work::kDefaultShares : found->second));
    }
};

// Ledger and model side by side, fed the same drawn events.
struct Pair {
    static constexpr std::size_t kGroups = 5;
    static constexpr std::int64_t kOrigin = 1'700'000'123'456'789;

    explicit Pair(Duration window) : ledger(window)
    {
        naive.window = window.count();
        for (std::size_t i = 0; i < kGroups; ++i)
            groups.push_back(ledger.acquire("group" + std::to_string(i)));
    }

    [[nodiscard]] Now now() const { return {{seconds(77) + Duration(time)}, WallTime::fromMicros(wall())}; }
    [[nodiscard]] std::int64_t wall() const { return kOrigin + time; }

    void start(const std::vector<std::size_t>& of, std::uint32_t slots)
    {
        std::vector<ShareGroupIndex> held;
        for (const std::size_t group : of)
            held.push_back(groups[group]);
        tickets.push_back(ledger.started(held, slots, now()));
        running.push_back(naive.intervals.size());
        naive.intervals.push_back({.groups = of, .slots = slots, .from = wall(), .to = 0});
    }
    void finish(std::size_t which)
    {
        ledger.finished(tickets[which], now());
        naive.intervals[running[which]].to = wall();
        naive.intervals[running[which]].isRunning = false;
        tickets.erase(tickets.begin() + static_cast<std::ptrdiff_t>(which));
        running.erase(running.begin() + static_cast<std::ptrdiff_t>(which));
    }
    // Equal to the model.
    void compare()
    {
        for (std::size_t i = 0; i < kGroups; ++i) {
            RC_ASSERT(ledger.key(groups[i]) == naive.key(i, wall()));
            RC_ASSERT(ledger.view(groups[i]).used.count() ==
                      static_cast<std::int64_t>(naive.used(i, wall()) / 65536));
        }
    }

    ShareLedger ledger;
    NaiveLedger naive;
    std::vector<ShareGroupIndex> groups;
    std::vector<ShareTicket> tickets;
    std::vector<std::size_t> running; // by ticket: its interval
    std::int64_t time = 0;
};

std::int64_t anySpan()
{
    const auto longest = *rc::gen::element<std::int64_t>(3, 1'000'000, 60'000'000, 2 * kBucket, 40 * kBucket);
    return *rc::gen::inRange<std::int64_t>(0, longest);
}

std::vector<std::size_t> anyGroups()
{
    std::vector<std::size_t> groups;
    const auto mask = *rc::gen::inRange<std::size_t>(0, std::size_t{1} << Pair::kGroups);
    const auto first = *rc::gen::inRange<std::size_t>(0, Pair::kGroups);
    for (std::size_t i = 0; i < Pair::kGroups; ++i)
        if (const std::size_t group = (first + i) % Pair::kGroups; ((mask >> group) & 1U) != 0)
            groups.push_back(group);
    return groups;
}

void drawEvent(Pair& pair)
{
    pair.time += anySpan();
    const int what = *rc::gen::inRange(0, 10);
    if (what < 4) {
        pair.start(anyGroups(), *rc::gen::inRange<std::uint32_t>(0, 9));
    } else if (what < 7 && !pair.tickets.empty()) {
        pair.finish(*rc::gen::inRange<std::size_t>(0, pair.tickets.size()));
    } else if (what == 7) {
        const auto group = *rc::gen::inRange<std::size_t>(0, Pair::kGroups);
        const auto shares = *rc::gen::inRange<std::uint32_t>(1, 1000);
        pair.ledger.setShares(pair.groups[group], shares);
        pair.naive.shares[group] = shares;
        pair.ledger.advance(pair.now());
    } else {
        pair.ledger.advance(pair.now());
    }
}

RC_GTEST_PROP(Shares, EqualALedgerThatKeepsEveryInterval, ())
{
    Pair pair(work::kUsageBucket * *rc::gen::inRange(1, 60));
    const int events = *rc::gen::inRange(1, 80);
    for (int i = 0; i < events; ++i) {
        drawEvent(pair);
        pair.compare();
    }
}

RC_GTEST_PROP(Shares, AreCarriedOverARestartByTheirRows, ())
{
    constexpr int kBuckets = 30;
    Pair pair(work::kUsageBucket * kBuckets);
    std::map<std::pair<std::string, std::int64_t>, work::UsageRow> stored;
    const int events = *rc::gen::inRange(1, 60);
    for (int i = 0; i < events; ++i) {
        drawEvent(pair);
        if (*rc::gen::arbitrary<bool>() || i + 1 == events)
            for (const work::UsageRow& row : pair.ledger.takeDirty())
                stored[{row.group, row.bucket.micros()}] = row;
    }
    std::vector<work::UsageRow> rows;
    for (const auto& [key, row] : stored) {
        const Wide exact = pair.naive.usedBetween(static_cast<std::size_t>(row.group.back() - '0'), key.second,
                                                  key.second + kBucket, pair.wall());
        if (key.second >= pair.wall() / kBucket * kBucket - pair.naive.window)
            RC_ASSERT(row.used.count() == static_cast<std::int64_t>(exact / 65536));
        rows.push_back(row);
    }
    ShareLedger later(work::kUsageBucket * kBuckets);
    later.load(rows, pair.now());
    for (std::size_t i = 0; i < Pair::kGroups; ++i) {
        const Duration before = pair.ledger.view(pair.groups[i]).used;
        const Duration after = later.view(later.acquire("group" + std::to_string(i))).used;
        RC_ASSERT(before - after >= Duration(0)); // each row loses less than a microsecond
        RC_ASSERT(before - after <= Duration(kBuckets + 1));
    }
}

RC_GTEST_PROP(Shares, ForgetNothingThatIsHeldAndKeepNothingThatIsNot, ())
{
    ShareLedger ledger(work::kUsageBucket * 3);
    std::map<std::string, std::vector<ShareGroupIndex>> held;
    Now now{{}, WallTime::fromMicros(Pair::kOrigin)};
    const int events = *rc::gen::inRange(1, 60);
    for (int i = 0; i < events; ++i) {
        const std::string name = "g" + std::to_string(*rc::gen::inRange(0, 6));
        const Duration span = Duration(anySpan());
        if (*rc::gen::arbitrary<bool>()) {
            const ShareGroupIndex group = ledger.acquire(name);
            if (!held[name].empty())
                RC_ASSERT(held[name].back() == group);
            held[name].push_back(group);
            const auto ticket = ledger.started(std::vector{group}, 1, now);
            now = {now.mono + span, now.wall + span};
            ledger.finished(ticket, now);
        } else if (!held[name].empty()) {
            ledger.release(held[name].back());
            held[name].pop_back();
        }
        for (const auto& [each, groups] : held)
            if (!groups.empty())
                RC_ASSERT(ledger.view(groups.back()).group == each);
    }
    for (const auto& [name, groups] : held)
        for (const ShareGroupIndex group : groups)
            ledger.release(group);
    ledger.advance({now.mono + hours(1), now.wall + hours(1)});
    RC_ASSERT(ledger.views().empty());
}

// ------------------------------------------------------------------------------------------------------ history

std::string anyName()
{
    return *rc::gen::container<std::string>(rc::gen::elementOf(std::string("abz-059._+ \xC3\xBC")));
}

RC_GTEST_PROP(HistoryKey, IsItsOwnKeyAndABeginningOfTheName, ())
{
    const std::string name = anyName();
    const std::string_view key = historyKey(name);
    RC_ASSERT(name.substr(0, key.size()) == key);
    RC_ASSERT(key.size() <= kHistoryNameBytes);
    RC_ASSERT(historyKey(key) == key);
    RC_ASSERT(key.empty() == name.empty());
}

RC_GTEST_PROP(HistoryKey, LeavesOutAnyVersion, ())
{
    const auto word = rc::gen::nonEmpty(rc::gen::container<std::string>(rc::gen::elementOf(std::string("abcXYZ.019"))));
    const std::string name = "x" + *word + "-y" + *word;
    const std::string version = std::to_string(*rc::gen::inRange(0, 1000)) + *word;
    RC_PRE(name.size() <= kHistoryNameBytes);
    RC_ASSERT(historyKey(name + "-" + version) == name);
}

RC_GTEST_PROP(History, StaysBetweenWhatItHasSeen, ())
{
    History history;
    const auto runs = *rc::gen::nonEmpty(
        rc::gen::container<std::vector<std::int64_t>>(rc::gen::inRange<std::int64_t>(1000, 100'000'000'000)));
    std::int64_t second = 0;
    for (const std::int64_t run : runs)
        history.record("a", {.duration = Duration(run), .cpuTime = Duration(run), .maxRssBytes = 0},
                       {seconds(++second)});
    const auto found = history.estimate("a");
    RC_ASSERT(found->duration.count() >= *std::min_element(runs.begin(), runs.end()));
    RC_ASSERT(found->duration.count() <= *std::max_element(runs.begin(), runs.end()));
    RC_ASSERT(found->cpus == 1U);
}

RC_GTEST_PROP(History, AsksForEnoughMemoryButNotForTwiceThePeak, ())
{
    const auto peak = *rc::gen::inRange<std::uint64_t>(std::uint64_t{16} << 20U, std::uint64_t{1} << 45U);
    History history;
    history.record("a", {.duration = seconds(1), .cpuTime = seconds(1), .maxRssBytes = peak}, {seconds(1)});
    const std::uint64_t asked = history.estimate("a")->memoryBytes;
    RC_ASSERT(asked * 5 >= peak * 6);
    RC_ASSERT(asked < peak * 9 / 5 + 2); // 1.2 times the widest step of the grid, 1.5
    const std::uint64_t odd = asked >> static_cast<unsigned>(__builtin_ctzll(asked));
    RC_ASSERT(odd == 1U || odd == 3U);
}

// Which names are kept, and in which order they go, against a list.
RC_GTEST_PROP(History, KeepsTheNamesThatRanLast, ())
{
    const auto kept = *rc::gen::inRange<std::size_t>(1, 12);
    History history(kept);
    std::vector<std::string> model; // oldest first
    std::map<std::string, work::HistoryRow> stored;
    const auto names = *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 30));
    std::int64_t second = 0;
    for (const int number : names) {
        const std::string name = "name" + std::to_string(number) + "x";
        history.record(name + "-1.2", {.duration = seconds(number + 1)}, {seconds(++second)});
        std::erase(model, name);
        model.push_back(name);
        if (model.size() > kept)
            model.erase(model.begin());
        if (number % 7 == 0)
            for (const work::HistoryRow& row : history.takeDirty())
                stored[row.name] = row;
    }
    for (const work::HistoryRow& row : history.takeDirty())
        stored[row.name] = row;
    RC_ASSERT(history.size() == model.size());
    for (int number = 0; number < 30; ++number) {
        const std::string name = "name" + std::to_string(number) + "x";
        const auto found = history.estimate(name);
        RC_ASSERT(found.has_value() == (std::find(model.begin(), model.end(), name) != model.end()));
        if (found) {
            RC_ASSERT(found->duration == seconds(number + 1));
            RC_ASSERT(stored.count(name) == 1U);
            RC_ASSERT(stored[name].duration == found->duration);
        }
    }
}

} // namespace
} // namespace penstock::sched

namespace penstock::work {
namespace {

RC_GTEST_PROP(Health, IsNeverWithoutWorkForGood, ())
{
    const HealthPolicy policy;
    MachineHealth health;
    Now now{{}, WallTime::fromMicros(1)};
    const auto events = *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 6));
    for (const int event : events) {
        const std::array<HealthEvent, 6> all{MachineFailed{false, "x"}, MachineFailed{true, "y"}, MachineDidWell{true},
                                             MachineDidWell{false},     QuarantineOver{},         Trusted{}};
        health = next(health, all[static_cast<std::size_t>(event)], policy, now);
        const bool isQuarantined = health.state == HealthState::Quarantined;
        RC_ASSERT(health.until.has_value() == isQuarantined);
        if (isQuarantined) {
            RC_ASSERT(*health.until - now.wall <= policy.backOff.max);
            RC_ASSERT(health.quarantines > 0U);
        }
        if (health.state == HealthState::Healthy) {
            RC_ASSERT(health.quarantines == 0U);
            RC_ASSERT(health.failuresInRow < policy.failures);
        }
    }
    health = next(health, QuarantineOver{}, policy, now);
    health = next(health, MachineDidWell{true}, policy, now);
    health = next(health, MachineDidWell{false}, policy, now);
    RC_ASSERT(health == MachineHealth{});
}

} // namespace
} // namespace penstock::work
