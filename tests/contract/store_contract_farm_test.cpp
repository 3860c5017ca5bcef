// SPDX-License-Identifier: GPL-3.0-or-later
// What every Store promises about the farm's own rows: machines, share groups, namespaces, usage, history, the pause.
#include "tests/support/store_rows.h"
#include "tests/support/store_world.h"

#include <algorithm>
#include <fmt/core.h>
#include <limits>

namespace penstock::store {
namespace {

using std::chrono::hours;
using std::chrono::minutes;

// Long past, so that a store that looks at its clock answers the same.
const WallTime kThen = WallTime::fromMicros(1'600'000'200'000'000);
static_assert(1'600'000'200'000'000 % work::kUsageBucket.count() == 0);

work::UsageRow usage(std::string group, Duration after, std::int64_t used)
{
    return {std::move(group), kThen + after, Duration{used}};
}

work::HistoryRow history(std::string name, std::int64_t lastRun)
{
    return {std::move(name), 1, Duration{2}, 3, 4, WallTime::fromMicros(lastRun)};
}

work::Changes farmRows()
{
    work::Changes changes;
    changes.machines = {fullMachine(7)};
    changes.shareGroups = {{"", 1}, {"big", 4'000'000'000}, {oddBytes(), 3}, {std::string(100'000, 'g'), 4}};
    changes.namespaces = {{"", 0, 0, 0}, fullNamespace("b"), fullNamespace(oddBytes()),
                          fullNamespace(std::string(100'000, 'n'))};
    std::ranges::sort(changes.shareGroups, {}, &work::ShareGroupRow::name);
    std::ranges::sort(changes.namespaces, {}, &work::NamespaceRow::name);
    changes.usage = {usage("", {}, 1), usage("big", {}, 0), usage(oddBytes(), minutes(5), 2),
                     usage("big", minutes(10), std::numeric_limits<std::int64_t>::max()),
                     usage(std::string(100'000, 'u'), minutes(10), 3)};
    changes.history = {history("", -5), history(std::string(100'000, 'h'), 6), fullHistory("a"),
                       fullHistory(oddBytes())};
    changes.pause = fullPause();
    return changes;
}

std::string showFarm(const work::Changes& changes)
{
    work::Recovery recovery;
    recovery.machines = changes.machines;
    recovery.shareGroups = changes.shareGroups;
    recovery.namespaces = changes.namespaces;
    recovery.usage = changes.usage;
    recovery.history = changes.history;
    recovery.pause = changes.pause.value_or(work::DispatchPause{});
    return show(recovery);
}

TEST_P(StoreContract, RecoversEveryFieldOfTheFarmsRows)
{
    lead();
    const work::Changes changes = farmRows();
    const auto stored = persist(changes);
    ASSERT_TRUE(stored.has_value()) << stored.error().message;
    const work::Recovery recovery = restart();
    EXPECT_EQ(show(recovery), showFarm(changes));
    ASSERT_EQ(recovery.machines.size(), 1U);
    EXPECT_EQ(recovery.machines[0].overrides, changes.machines[0].overrides);
    EXPECT_EQ(recovery.machines[0].health, changes.machines[0].health);
}

TEST_P(StoreContract, WritingTheFarmsRowsTwiceIsHarmless)
{
    lead();
    work::Changes changes = farmRows();
    changes.removedMachines = {MachineId(1), MachineId(2)};
    ASSERT_TRUE(persist(changes).has_value());
    const std::string once = show(restart());
    const auto again = persist(changes);
    ASSERT_TRUE(again.has_value()) << again.error().message;
    EXPECT_EQ(show(restart()), once);
}

TEST_P(StoreContract, AnUpsertReplacesTheWholeRow)
{
    lead();
    ASSERT_TRUE(persist(farmRows()).has_value());
    work::Changes changes;
    changes.machines = {machineRow(7)};
    changes.shareGroups = {{"big", 9}};
    changes.namespaces = {{"b", 0, 0, 0}};
    changes.usage = {usage("big", minutes(10), 5)};
    changes.history = {history("a", 77)};
    changes.pause = work::DispatchPause{};
    const auto stored = persist(changes);
    ASSERT_TRUE(stored.has_value()) << stored.error().message;
    const work::Recovery recovery = restart();
    ASSERT_EQ(recovery.machines.size(), 1U);
    EXPECT_EQ(show(recovery.machines[0]), show(machineRow(7)));
    const auto shownOf = [](const auto& rows, const auto& one) {
        std::vector<std::string> found;
        for (const auto& row : rows)
            if (show(row) == show(one))
                found.push_back(show(row));
        return found.size();
    };
    EXPECT_EQ(recovery.shareGroups.size(), 4U);
    EXPECT_EQ(shownOf(recovery.shareGroups, changes.shareGroups[0]), 1U);
    EXPECT_EQ(recovery.namespaces.size(), 4U);
    EXPECT_EQ(shownOf(recovery.namespaces, changes.namespaces[0]), 1U);
    EXPECT_EQ(recovery.usage.size(), 5U);
    EXPECT_EQ(shownOf(recovery.usage, changes.usage[0]), 1U);
    EXPECT_EQ(recovery.history.size(), 4U);
    EXPECT_EQ(shownOf(recovery.history, changes.history[0]), 1U);
    EXPECT_EQ(recovery.pause, work::DispatchPause{});
}

TEST_P(StoreContract, OfManyUpsertsThatWaitTheLastCounts)
{
    lead();
    for (std::uint32_t number = 1; number <= 200; ++number) {
        work::Changes changes;
        changes.machines = {machineRow(1)};
        changes.machines[0].health.failuresInRow = number;
        changes.shareGroups = {{"g", number}, {fmt::format("g{}", number % 3), number}};
        changes.namespaces = {{"n", number, 0, 0}};
        changes.usage = {usage("g", {}, number), usage("g", minutes(5 * (number % 2)), number)};
        changes.history = {history("h", number)};
        changes.pause = work::DispatchPause{true, "ada", std::to_string(number), kThen};
        store->persist(changes, {}, [](const Result<void>& done) { EXPECT_TRUE(done.has_value()); });
    }
    ASSERT_TRUE(persist({}).has_value());
    const work::Recovery recovery = restart();
    work::Changes expected;
    expected.machines = {machineRow(1)};
    expected.machines[0].health.failuresInRow = 200;
    expected.shareGroups = {{"g", 200}, {"g0", 198}, {"g1", 199}, {"g2", 200}};
    expected.namespaces = {{"n", 200, 0, 0}};
    expected.usage = {usage("g", {}, 200), usage("g", minutes(5), 199)};
    expected.history = {history("h", 200)};
    expected.pause = work::DispatchPause{true, "ada", "200", kThen};
    EXPECT_EQ(show(recovery), showFarm(expected));
}

TEST_P(StoreContract, ARefusedBatchChangesNothingOfTheFarm)
{
    lead();
    work::Changes before = farmRows();
    ASSERT_TRUE(persist(before).has_value());
    work::Changes changes;
    changes.removedMachines = {MachineId(7)};
    changes.shareGroups = {{"new", 1}};
    changes.usage = {usage("new", minutes(15), 1)};
    changes.history = {history("new", 1)};
    changes.pause = work::DispatchPause{};
    changes.steps = {{StepId(404), {}}};
    EXPECT_EQ(persist(changes).error().code, ErrorCode::Conflict);
    EXPECT_EQ(show(restart()), showFarm(before));
}

TEST_P(StoreContract, ARemovedMachineIsGoneAndItsAttemptsStay)
{
    lead();
    work::Changes changes = oneJob(1);
    changes.machines = {machineRow(1, "alpha"), machineRow(2, "beta")};
    changes.newAttempts = {attemptRow(5, 1, 1)};
    ASSERT_TRUE(persist(changes).has_value());
    work::Changes removal;
    removal.removedMachines = {MachineId(1), MachineId(99)}; // one that never was
    const auto stored = persist(removal);
    ASSERT_TRUE(stored.has_value()) << stored.error().message;
    const auto attempts = ask<std::vector<AttemptView>>(*store, &Store::findAttempts, AttemptFilter{});
    ASSERT_EQ(attempts->size(), 1U);
    EXPECT_EQ(attempts->front().row.machine, MachineId(1));
    EXPECT_EQ(attempts->front().machine, "");
    const work::Recovery recovery = restart();
    ASSERT_EQ(recovery.machines.size(), 1U);
    EXPECT_EQ(recovery.machines[0].id, MachineId(2));
    EXPECT_EQ(recovery.attempts.size(), 1U);
}

TEST_P(StoreContract, ARemovedMachineComesBackAsANewOne)
{
    lead();
    work::Changes changes;
    changes.machines = {machineRow(1, "old")};
    ASSERT_TRUE(persist(changes).has_value());
    work::Changes swap;
    swap.removedMachines = {MachineId(1)};
    swap.machines = {machineRow(2, "new")};
    swap.machines[0].identity = changes.machines[0].identity;
    const auto stored = persist(swap);
    ASSERT_TRUE(stored.has_value()) << stored.error().message;
    const work::Recovery recovery = restart();
    ASSERT_EQ(recovery.machines.size(), 1U);
    EXPECT_EQ(show(recovery.machines[0]), show(swap.machines[0]));
}

TEST_P(StoreContract, RemovalWinsOverARowOfTheSameMachineInOneBatch)
{
    lead();
    work::Changes changes;
    changes.machines = {machineRow(1), machineRow(2)};
    changes.removedMachines = {MachineId(1)};
    ASSERT_TRUE(persist(changes).has_value());
    const work::Recovery recovery = restart();
    ASSERT_EQ(recovery.machines.size(), 1U);
    EXPECT_EQ(recovery.machines[0].id, MachineId(2));
    // Again, with batches that wait together: written, removed, and another with its identity.
    work::Changes third;
    third.machines = {machineRow(3)};
    work::Changes removal;
    removal.removedMachines = {MachineId(3), MachineId(2)};
    work::Changes fourth;
    fourth.machines = {machineRow(4)};
    fourth.machines[0].identity = third.machines[0].identity;
    for (const work::Changes& batch : {third, removal, fourth})
        store->persist(batch, {}, [](const Result<void>& done) { EXPECT_TRUE(done.has_value()); });
    ASSERT_TRUE(persist({}).has_value());
    const work::Recovery later = restart();
    ASSERT_EQ(later.machines.size(), 1U);
    EXPECT_EQ(later.machines[0].id, MachineId(4));
}

TEST_P(StoreContract, RecoversTheUsageOfADay)
{
    lead();
    work::Changes changes;
    changes.usage = {usage("a", {}, 1), usage("a", minutes(5), 2), usage("b", hours(20), 3)};
    ASSERT_TRUE(persist(changes).has_value());
    EXPECT_EQ(restart().usage.size(), 3U);
    changes.usage = {usage("a", hours(24), 4)}; // the first one is now a day old
    ASSERT_TRUE(persist(changes).has_value());
    const work::Recovery recovery = restart();
    ASSERT_EQ(recovery.usage.size(), 3U);
    EXPECT_EQ(show(recovery.usage[0]), show(usage("a", minutes(5), 2)));
    EXPECT_EQ(show(recovery.usage[1]), show(usage("b", hours(20), 3)));
    EXPECT_EQ(show(recovery.usage[2]), show(usage("a", hours(24), 4)));
}

TEST_P(StoreContract, RecoversTheNewestHistory)
{
    lead();
    constexpr std::size_t kMore = 1'000;
    work::Changes changes;
    for (std::size_t number = 0; number < work::kHistoryKept + kMore; ++number) // newest first
        changes.history.push_back(
            history(fmt::format("name {}", number), 1'000'000 - static_cast<std::int64_t>(number)));
    auto stored = persist(changes);
    ASSERT_TRUE(stored.has_value()) << stored.error().message;
    work::Recovery recovery = restart();
    ASSERT_EQ(recovery.history.size(), work::kHistoryKept);
    EXPECT_EQ(show(recovery.history.back()), show(changes.history.front()));
    EXPECT_EQ(show(recovery.history.front()), show(changes.history[work::kHistoryKept - 1]));
    // One that had fallen out comes back when it runs again.
    changes.history = {history(fmt::format("name {}", work::kHistoryKept), 2'000'000)};
    stored = persist(changes);
    ASSERT_TRUE(stored.has_value()) << stored.error().message;
    recovery = restart();
    ASSERT_EQ(recovery.history.size(), work::kHistoryKept);
    EXPECT_EQ(show(recovery.history.back()), show(changes.history.front()));
}

TEST_P(StoreContract, ShowsWhatAJobAskedForAndWasTold)
{
    lead();
    work::Changes changes = oneJob(1);
    changes.newJobs = {fullJob(1)};
    ASSERT_TRUE(persist(changes).has_value());
    const auto view = ask<JobView>(*store, &Store::findJob, JobId(1));
    ASSERT_TRUE(view.has_value()) << view.error().message;
    EXPECT_EQ(show(view->row), show(changes.newJobs[0]));
    // A bump and a hold are updates; taken back they leave nothing.
    work::JobProgress progress = changes.newJobs[0].progress;
    progress.bumped.reset();
    progress.held = false;
    progress.holdNote.clear();
    work::Changes update;
    update.jobs = {{JobId(1), progress}};
    ASSERT_TRUE(persist(update).has_value());
    const work::Recovery recovery = restart();
    ASSERT_EQ(recovery.jobs.size(), 1U);
    EXPECT_EQ(recovery.jobs[0].progress, progress);
    EXPECT_EQ(recovery.jobs[0].spec.limits, changes.newJobs[0].spec.limits);
    const auto stored = ask<work::StoredJob>(*store, &Store::loadJob, JobId(1));
    ASSERT_TRUE(stored.has_value()) << stored.error().message;
    EXPECT_EQ(stored->job.spec.limits, changes.newJobs[0].spec.limits);
    EXPECT_EQ(stored->job.spec.concurrencyGroup, changes.newJobs[0].spec.concurrencyGroup);
    EXPECT_EQ(stored->job.spec.concurrencyLimit, changes.newJobs[0].spec.concurrencyLimit);
}

} // namespace
} // namespace penstock::store
