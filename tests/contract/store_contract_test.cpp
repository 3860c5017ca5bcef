// SPDX-License-Identifier: GPL-3.0-or-later
// What every Store promises about writing: durability, order, idempotency, recovery, refusals.
#include "tests/support/store_rows.h"
#include "tests/support/store_world.h"

#include <atomic>

namespace penstock::store {
namespace {

TEST_P(StoreContract, StartsEmpty)
{
    const auto recovery = store->loadOpen();
    ASSERT_TRUE(recovery.has_value()) << recovery.error().message;
    EXPECT_EQ(show(*recovery), "marks 0 0 0 0\npaused false \"\" \"\" 0\n");
    EXPECT_TRUE(store->health().has_value());
}

TEST_P(StoreContract, RecoversEveryFieldOfOpenRows)
{
    lead();
    work::Changes changes;
    changes.machines = {fullMachine(7), machineRow(8)};
    changes.newJobs = {fullJob(3)};
    changes.newSteps = {fullStep(10), nixStep(11), nixStep(12)};
    changes.dependencies = {{StepId(10), StepId(11)}, {StepId(10), StepId(12)}, {StepId(11), StepId(12)}};
    changes.jobSteps = {{JobId(3), StepId(10), true}, {JobId(3), StepId(11), false}, {JobId(3), StepId(12), false}};
    changes.newAttempts = {fullAttempt(100, 10, 3)};
    const work::IdMarks marks{3, 12, 100, 8};
    const auto stored = persist(changes, marks);
    ASSERT_TRUE(stored.has_value()) << stored.error().message;

    work::Recovery expected;
    expected.machines = changes.machines;
    expected.jobs = changes.newJobs;
    for (const work::StepRow& row : changes.newSteps)
        expected.steps.push_back(withoutText(row));
    expected.dependencies = changes.dependencies;
    expected.jobSteps = changes.jobSteps;
    expected.attempts = changes.newAttempts;
    expected.marks = marks;
    const work::JobSpec& spec = changes.newJobs.front().spec;
    expected.keys = {{{spec.nameSpace, spec.key}, JobId(3)}};
    EXPECT_EQ(show(restart()), show(expected));
}

TEST_P(StoreContract, UpdatesReplaceTheWholeMutablePart)
{
    lead();
    work::Changes first = oneJob(1);
    first.newAttempts = {attemptRow(5, 1, 1)};
    first.machines = {machineRow(1, "old")};
    ASSERT_TRUE(persist(first).has_value());

    work::Changes second;
    second.jobs = {{JobId(1), fullJob(1).progress}};
    second.steps = {{StepId(1), fullStep(1).progress}};
    second.attempts = {{AttemptId(5), fullAttempt(5, 1, 1).progress}};
    second.machines = {fullMachine(1)};
    ASSERT_TRUE(persist(second).has_value());
    work::Recovery recovery = restart();
    ASSERT_EQ(recovery.jobs.size(), 1U);
    EXPECT_EQ(recovery.jobs[0].progress, second.jobs[0].progress);
    EXPECT_EQ(recovery.steps[0].progress, second.steps[0].progress);
    EXPECT_EQ(recovery.attempts[0].progress, second.attempts[0].progress);
    EXPECT_EQ(show(recovery.machines[0]), show(fullMachine(1)));

    work::Changes third; // back to defaults: nothing of the former values may remain
    third.jobs = {{JobId(1), {}}};
    third.steps = {{StepId(1), {}}};
    third.attempts = {{AttemptId(5), {}}};
    ASSERT_TRUE(persist(third).has_value());
    recovery = restart();
    EXPECT_EQ(recovery.jobs[0].progress, work::JobProgress{});
    EXPECT_EQ(recovery.steps[0].progress, work::StepProgress{});
    EXPECT_EQ(recovery.attempts[0].progress, work::AttemptProgress{});
}

TEST_P(StoreContract, KeepsWhatABuildSaysOfItself)
{
    lead();
    work::Changes changes = oneJob(1);
    changes.newAttempts = {attemptRow(5, 1, 1), attemptRow(6, 1, 1)};
    ASSERT_TRUE(persist(changes).has_value());
    work::BuildResults large = fullResults();
    while (large.products.size() < 1'000)
        large.products.push_back(large.products.front());
    work::Changes ended;
    ended.attempts = {{AttemptId(5), endedAttempt(work::AttemptEnd::Succeeded)},
                      {AttemptId(6), endedAttempt(work::AttemptEnd::Cached)}};
    ended.attempts[0].progress.results = large;
    ASSERT_TRUE(persist(ended).has_value());
    (void)restart();
    const auto found = ask<std::vector<AttemptView>>(*store, &Store::findAttempts, AttemptFilter{});
    ASSERT_TRUE(found.has_value()) << found.error().message;
    ASSERT_EQ(found->size(), 2U);
    EXPECT_EQ(found->at(0).row.progress.results.get(), large);
    EXPECT_TRUE(found->at(1).row.progress.results.isEmpty());
}

TEST_P(StoreContract, AnUpdateInTheBatchOfItsInsertWins)
{
    lead();
    work::Changes changes = oneJob(1);
    changes.jobs = {{JobId(1), fullJob(1).progress}};
    changes.steps = {{StepId(1), fullStep(1).progress}};
    ASSERT_TRUE(persist(changes).has_value());
    const work::Recovery recovery = restart();
    EXPECT_EQ(recovery.jobs[0].progress, changes.jobs[0].progress);
    EXPECT_EQ(recovery.steps[0].progress, changes.steps[0].progress);
}

TEST_P(StoreContract, LeavesFinishedWorkOutOfTheRecovery)
{
    lead();
    work::Changes changes = oneJob(1);
    const work::Changes other = oneJob(2);
    changes.newJobs.push_back(other.newJobs[0]);
    changes.newSteps.push_back(other.newSteps[0]);
    // Job 2 is open and needs the finished step of job 1 too.
    changes.jobSteps.push_back(other.jobSteps[0]);
    changes.jobSteps.push_back({JobId(2), StepId(1), false});
    changes.newSteps.push_back(commandStep(3)); // of nobody, as the next
    changes.newSteps.back().progress = finishedStep(work::StepResult::Succeeded);
    changes.newAttempts = {attemptRow(1, 1, 1), attemptRow(2, 2, 2)};
    changes.attempts = {{AttemptId(1), endedAttempt(work::AttemptEnd::Succeeded)}};
    changes.steps = {{StepId(1), finishedStep(work::StepResult::Succeeded)}};
    changes.jobs = {{JobId(1), finishedJob(work::JobState::Succeeded)}};
    ASSERT_TRUE(persist(changes).has_value());
    const work::Recovery recovery = restart();
    ASSERT_EQ(recovery.jobs.size(), 1U);
    EXPECT_EQ(recovery.jobs[0].id, JobId(2));
    ASSERT_EQ(recovery.steps.size(), 2U);
    EXPECT_EQ(recovery.steps[0].progress.result, work::StepResult::Succeeded);
    EXPECT_EQ(recovery.jobSteps.size(), 2U);
    ASSERT_EQ(recovery.attempts.size(), 1U);
    EXPECT_EQ(recovery.attempts[0].id, AttemptId(2));
}

TEST_P(StoreContract, AnAttemptThatHasNotEndedBringsItsStepAlong)
{
    lead();
    work::Changes changes = oneJob(1);
    changes.newAttempts = {attemptRow(1, 1, 1)};
    changes.jobs = {{JobId(1), finishedJob(work::JobState::Cancelled)}};
    changes.steps = {{StepId(1), finishedStep(work::StepResult::Cancelled)}};
    ASSERT_TRUE(persist(changes).has_value());
    const work::Recovery recovery = restart();
    EXPECT_TRUE(recovery.jobs.empty());
    ASSERT_EQ(recovery.attempts.size(), 1U);
    ASSERT_EQ(recovery.steps.size(), 1U);
    EXPECT_EQ(recovery.steps[0].id, StepId(1));
}

// A job may list only what it asked for, and not what that needs.
TEST_P(StoreContract, RecoversUnfinishedStepsThatNoJobLists)
{
    lead();
    work::Changes changes = oneJob(1);
    for (std::uint64_t id = 2; id <= 6; ++id)
        changes.newSteps.push_back(commandStep(id));
    changes.dependencies = {{StepId(1), StepId(2)}, {StepId(2), StepId(3)}, {StepId(2), StepId(4)},
                            {StepId(2), StepId(5)}, {StepId(3), StepId(6)}};
    work::StepProgress revealing = finishedStep(work::StepResult::Succeeded);
    revealing.revealed = {{"out", "/nix/store/x", "sha256:ab", 1}};
    changes.steps = {{StepId(3), finishedStep(work::StepResult::Cached)},
                     {StepId(4), revealing},
                     {StepId(5), finishedStep(work::StepResult::Failed)},
                     {StepId(6), revealing}};
    ASSERT_TRUE(persist(changes).has_value());
    work::Recovery recovery = restart();
    std::vector<std::uint64_t> steps;
    for (const work::StepRow& row : recovery.steps)
        steps.push_back(row.id.value());
    // 3 has ended well and tells nothing more; 6 is asked by nobody any more.
    EXPECT_EQ(steps, (std::vector<std::uint64_t>{1, 2, 4, 5}));
    std::vector<std::uint64_t> below;
    for (const work::DependencyRow& row : recovery.dependencies)
        below.push_back(row.dependsOn.value());
    EXPECT_EQ(below, (std::vector<std::uint64_t>{2, 3, 4, 5}));
    EXPECT_EQ(recovery.jobSteps.size(), 1U);
    EXPECT_EQ(recovery.steps.at(2).progress, revealing);
    work::Changes ended;
    ended.steps = {{StepId(1), finishedStep(work::StepResult::Failed)},
                   {StepId(2), finishedStep(work::StepResult::Failed)}};
    ended.jobs = {{JobId(1), finishedJob(work::JobState::Failed)}};
    ASSERT_TRUE(persist(ended).has_value());
    recovery = restart();
    EXPECT_TRUE(recovery.steps.empty());
    EXPECT_TRUE(recovery.dependencies.empty());
}

TEST_P(StoreContract, AReopenedJobIsRecoveredAgain)
{
    lead();
    work::Changes changes = oneJob(1);
    changes.jobs = {{JobId(1), finishedJob(work::JobState::Failed)}};
    ASSERT_TRUE(persist(changes).has_value());
    EXPECT_TRUE(restart().jobs.empty());
    work::Changes reopened;
    reopened.jobs = {{JobId(1), {}}};
    ASSERT_TRUE(persist(reopened).has_value());
    EXPECT_EQ(restart().jobs.size(), 1U);
}

TEST_P(StoreContract, WritingABatchTwiceIsHarmless)
{
    lead();
    work::Changes changes = oneJob(1);
    changes.newJobs[0].spec.key = "once";
    changes.machines = {fullMachine(7)};
    changes.newAttempts = {fullAttempt(9, 1, 1)};
    changes.dependencies = {{StepId(1), StepId(1)}};
    changes.steps = {{StepId(1), fullStep(1).progress}};
    changes.attempts = {{AttemptId(9), fullAttempt(9, 1, 1).progress}};
    changes.jobs = {{JobId(1), fullJob(1).progress}};
    ASSERT_TRUE(persist(changes, {1, 1, 9, 7}).has_value());
    const std::string once = show(restart());
    const auto again = persist(changes, {1, 1, 9, 7});
    ASSERT_TRUE(again.has_value()) << again.error().message;
    EXPECT_EQ(show(restart()), once);
}

TEST_P(StoreContract, MarksOnlyGrow)
{
    lead();
    ASSERT_TRUE(persist({}, {10, 20, 30, 40}).has_value());
    ASSERT_TRUE(persist({}, {9, 21, 0, 39}).has_value());
    EXPECT_EQ(restart().marks, (work::IdMarks{10, 21, 30, 40}));
}

TEST_P(StoreContract, KeepsTheOrderOfBatches)
{
    lead();
    ASSERT_TRUE(persist(oneJob(1)).has_value());
    // Answered in order too: each completion finds all before it counted.
    auto answered = std::make_shared<std::atomic<std::uint32_t>>(0);
    auto inOrder = std::make_shared<std::atomic<bool>>(true);
    for (std::uint32_t number = 1; number <= 200; ++number) {
        work::Changes changes;
        work::StepProgress progress;
        progress.attempts = number;
        changes.steps = {{StepId(1), progress}};
        store->persist(changes, {}, [=](const Result<void>& done) {
            if (!done || answered->fetch_add(1) + 1 != number)
                *inOrder = false;
        });
    }
    ASSERT_TRUE(persist({}).has_value());
    EXPECT_TRUE(*inOrder);
    EXPECT_EQ(*answered, 200U);
    EXPECT_EQ(restart().steps[0].progress.attempts, 200U);
}

TEST_P(StoreContract, RefusesAnUpdateOfARowThatIsNotThere)
{
    lead();
    work::Changes changes = oneJob(1);
    changes.steps = {{StepId(2), {}}};
    const auto refused = persist(changes);
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, ErrorCode::Conflict) << refused.error().message;
    EXPECT_TRUE(restart().jobs.empty()); // all or nothing

    changes = {};
    changes.attempts = {{AttemptId(2), {}}};
    EXPECT_EQ(persist(changes).error().code, ErrorCode::Conflict);
    (void)restart();
    changes = {};
    changes.jobs = {{JobId(2), {}}};
    EXPECT_EQ(persist(changes).error().code, ErrorCode::Conflict);
}

TEST_P(StoreContract, RefusesEverythingAfterARefusal)
{
    lead();
    work::Changes wrong;
    wrong.steps = {{StepId(2), {}}};
    EXPECT_EQ(persist(wrong).error().code, ErrorCode::Conflict);
    const auto next = persist(oneJob(1));
    ASSERT_FALSE(next.has_value());
    EXPECT_EQ(next.error().code, ErrorCode::Conflict);
    EXPECT_TRUE(restart().jobs.empty());
    EXPECT_TRUE(persist(oneJob(1)).has_value());
}

TEST_P(StoreContract, RefusesAKeyThatAnUnfinishedJobHolds)
{
    lead();
    work::Changes first = oneJob(1);
    first.newJobs[0].spec.key = "nightly";
    ASSERT_TRUE(persist(first).has_value());

    work::Changes elsewhere = oneJob(2);
    elsewhere.newJobs[0].spec.key = "nightly";
    elsewhere.newJobs[0].spec.nameSpace = "other";
    EXPECT_TRUE(persist(elsewhere).has_value());

    work::Changes second = oneJob(3);
    second.newJobs[0].spec.key = "nightly";
    const auto refused = persist(second);
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, ErrorCode::Conflict);
    EXPECT_NE(refused.error().message.find("key"), std::string::npos) << refused.error().message;
}

TEST_P(StoreContract, AFinishedJobsKeyPassesToTheNextJob)
{
    lead();
    work::Changes first = oneJob(1);
    first.newJobs[0].spec.key = "nightly";
    first.jobs = {{JobId(1), finishedJob(work::JobState::Succeeded)}};
    ASSERT_TRUE(persist(first).has_value());
    work::Recovery recovery = restart();
    ASSERT_EQ(recovery.keys.size(), 1U);
    EXPECT_EQ(recovery.keys[0].second, JobId(1));

    work::Changes second = oneJob(2);
    second.newJobs[0].spec.key = "nightly";
    const auto stored = persist(second);
    ASSERT_TRUE(stored.has_value()) << stored.error().message;
    recovery = restart();
    ASSERT_EQ(recovery.keys.size(), 1U);
    EXPECT_EQ(recovery.keys[0].first, (std::pair<std::string, std::string>("default", "nightly")));
    EXPECT_EQ(recovery.keys[0].second, JobId(2));
}

TEST_P(StoreContract, AKeyPassesOnInTheBatchThatFinishesItsJob)
{
    lead();
    work::Changes first = oneJob(1);
    first.newJobs[0].spec.key = "nightly";
    ASSERT_TRUE(persist(first).has_value());
    work::Changes second = oneJob(2);
    second.newJobs[0].spec.key = "nightly";
    second.jobs = {{JobId(1), finishedJob(work::JobState::Succeeded)}};
    const auto stored = persist(second);
    ASSERT_TRUE(stored.has_value()) << stored.error().message;
    EXPECT_EQ(restart().keys[0].second, JobId(2));
}

TEST_P(StoreContract, RefusesTheIdentityOfAnotherMachine)
{
    lead();
    work::Changes first;
    first.machines = {machineRow(1)};
    ASSERT_TRUE(persist(first).has_value());
    work::Changes second;
    second.machines = {machineRow(2)};
    second.machines[0].identity = first.machines[0].identity;
    const auto refused = persist(second);
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, ErrorCode::Conflict);
}

TEST_P(StoreContract, OneServerLeads)
{
    lead();
    auto other = world->open();
    const auto refused = other->loadOpen();
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, ErrorCode::Conflict);
    const auto unled = ask<void>(*other, &Store::persist, oneJob(1), work::IdMarks{});
    ASSERT_FALSE(unled.has_value());
    EXPECT_EQ(unled.error().code, ErrorCode::Conflict);
    EXPECT_TRUE(persist(oneJob(1)).has_value());
    // The other one reads, and leads when the first is gone.
    EXPECT_TRUE(ask<JobView>(*other, &Store::findJob, JobId(1)).has_value());
    store.reset();
    const auto led = other->loadOpen();
    ASSERT_TRUE(led.has_value()) << led.error().message;
    EXPECT_EQ(led->jobs.size(), 1U);
    EXPECT_TRUE(ask<void>(*other, &Store::persist, oneJob(2), work::IdMarks{}).has_value());
}

TEST_P(StoreContract, WritesAHugeBatch)
{
    lead();
    constexpr std::uint64_t kJobs = 30'000; // 90,000 new rows and 90,000 rows in all kinds of updates
    work::Changes changes;
    for (std::uint64_t id = 1; id <= kJobs; ++id) {
        changes.newJobs.push_back(jobRow(id));
        changes.newSteps.push_back(commandStep(id));
        changes.jobSteps.push_back({JobId(id), StepId(id), true});
        changes.newAttempts.push_back(attemptRow(id, id, id));
    }
    auto stored = persist(changes, {kJobs, kJobs, kJobs, 0});
    ASSERT_TRUE(stored.has_value()) << stored.error().message;
    EXPECT_EQ(restart().jobs.size(), kJobs);
    work::Changes updates;
    for (std::uint64_t id = kJobs; id > 1; --id) {
        updates.jobs.push_back({JobId(id), finishedJob(work::JobState::Succeeded)});
        updates.steps.push_back({StepId(id), finishedStep(work::StepResult::Succeeded)});
        updates.attempts.push_back({AttemptId(id), endedAttempt(work::AttemptEnd::Succeeded)});
    }
    stored = persist(updates);
    ASSERT_TRUE(stored.has_value()) << stored.error().message;
    const work::Recovery recovery = restart();
    EXPECT_EQ(recovery.jobs.size(), 1U);
    EXPECT_EQ(recovery.attempts.size(), 1U);
}

TEST_P(StoreContract, WritesAVeryLargeDefinitionAndName)
{
    lead();
    work::Changes changes = oneJob(1);
    changes.newJobs[0].spec.definition = std::string(5'000'000, '\xFF');
    changes.newJobs[0].spec.name = std::string(100'000, 'n');
    changes.newJobs[0].spec.key = std::string(100'000, 'k');
    const auto stored = persist(changes);
    ASSERT_TRUE(stored.has_value()) << stored.error().message;
    const work::Recovery recovery = restart();
    EXPECT_EQ(show(recovery.jobs[0]), show(changes.newJobs[0]));
    JobFilter filter;
    filter.name = changes.newJobs[0].spec.name;
    EXPECT_EQ((ask<std::vector<JobView>>(*store, &Store::findJobs, filter))->size(), 1U);
}

} // namespace
} // namespace penstock::store
