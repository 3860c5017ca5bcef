// SPDX-License-Identifier: GPL-3.0-or-later
// What every Store promises about reading: filters, paging, unknown ids, views, tokens.
#include "tests/support/store_rows.h"
#include "tests/support/store_world.h"

namespace penstock::store {
namespace {

using JobViews = std::vector<JobView>;
using StepViews = std::vector<StepView>;
using AttemptViews = std::vector<AttemptView>;

using Ids = std::vector<std::uint64_t>;

TEST_P(StoreContract, FindsJobsByEveryFilter)
{
    lead();
    work::Changes changes;
    for (std::uint64_t id = 1; id <= 6; ++id) {
        changes.newJobs.push_back(jobRow(id, id % 2 == 0 ? "even" : "odd"));
        changes.newJobs.back().spec.user = id <= 3 ? "ada" : "bob";
        changes.newJobs.back().spec.nameSpace = id == 5 ? "n\xFF" : "default";
    }
    changes.jobs = {{JobId(1), finishedJob(work::JobState::Succeeded)},
                    {JobId(2), finishedJob(work::JobState::Failed)},
                    {JobId(3), finishedJob(work::JobState::Cancelled)}};
    changes.jobs.push_back({JobId(4), {}});
    changes.jobs.back().progress.state = work::JobState::Running;
    ASSERT_TRUE(persist(changes).has_value());

    const auto jobs = [this](const JobFilter& filter) {
        Ids ids;
        const auto found = ask<JobViews>(*store, &Store::findJobs, filter);
        EXPECT_TRUE(found.has_value()) << found.error().message;
        for (const JobView& view : found.value_or(JobViews{}))
            ids.push_back(view.row.id.value());
        return ids;
    };
    EXPECT_EQ(jobs({}), (Ids{6, 5, 4, 3, 2, 1}));
    EXPECT_EQ(jobs({.state = work::JobState::Succeeded}), Ids{1});
    EXPECT_EQ(jobs({.state = work::JobState::Failed}), Ids{2});
    EXPECT_EQ(jobs({.state = work::JobState::Cancelled}), Ids{3});
    EXPECT_EQ(jobs({.state = work::JobState::Running}), Ids{4});
    EXPECT_EQ(jobs({.state = work::JobState::Queued}), (Ids{6, 5}));
    EXPECT_EQ(jobs({.openOnly = true}), (Ids{6, 5, 4}));
    EXPECT_EQ(jobs({.state = work::JobState::Failed, .openOnly = true}), Ids{});
    EXPECT_EQ(jobs({.nameSpace = "n\xFF"}), Ids{5});
    EXPECT_EQ(jobs({.user = "bob"}), (Ids{6, 5, 4}));
    EXPECT_EQ(jobs({.name = "odd"}), (Ids{5, 3, 1}));
    EXPECT_EQ(jobs({.name = "od"}), Ids{});
    EXPECT_EQ(jobs({.user = "bob", .name = "odd"}), Ids{5});
    EXPECT_EQ(jobs({.before = JobId(3)}), (Ids{2, 1}));
    EXPECT_EQ(jobs({.before = JobId(1)}), Ids{});
    EXPECT_EQ(jobs({.before = JobId(1'000), .limit = 2}), (Ids{6, 5}));
    EXPECT_EQ(jobs({.name = "odd", .before = JobId(5), .limit = 1}), Ids{3});
}

TEST_P(StoreContract, RefusesLimitsOutOfRange)
{
    lead();
    for (const std::uint32_t limit : {0U, kMaxRowsAnswered + 1, 4'000'000'000U}) {
        JobFilter jobs;
        jobs.limit = limit;
        EXPECT_EQ((ask<JobViews>(*store, &Store::findJobs, jobs).error().code), ErrorCode::Invalid);
        StepFilter steps;
        steps.limit = limit;
        EXPECT_EQ((ask<StepViews>(*store, &Store::findSteps, steps).error().code), ErrorCode::Invalid);
        AttemptFilter attempts;
        attempts.limit = limit;
        EXPECT_EQ((ask<AttemptViews>(*store, &Store::findAttempts, attempts).error().code), ErrorCode::Invalid);
    }
    JobFilter largest;
    largest.limit = kMaxRowsAnswered;
    EXPECT_TRUE((ask<JobViews>(*store, &Store::findJobs, largest).has_value()));
}

TEST_P(StoreContract, PagesThroughEveryJobOnce)
{
    lead();
    work::Changes changes;
    for (std::uint64_t id = 1; id <= 25; ++id)
        changes.newJobs.push_back(jobRow(id));
    ASSERT_TRUE(persist(changes).has_value());
    JobFilter filter;
    filter.limit = 7;
    Ids seen;
    for (;;) {
        const auto page = ask<JobViews>(*store, &Store::findJobs, filter);
        ASSERT_TRUE(page.has_value());
        if (page->empty())
            break;
        for (const JobView& view : *page)
            seen.push_back(view.row.id.value());
        filter.before = page->back().row.id;
    }
    Ids expected;
    for (std::uint64_t id = 25; id >= 1; --id)
        expected.push_back(id);
    EXPECT_EQ(seen, expected);
}

TEST_P(StoreContract, CountsTheStepsOfAJob)
{
    lead();
    work::Changes changes = oneJob(1);
    for (std::uint64_t id = 2; id <= 6; ++id) {
        changes.newSteps.push_back(commandStep(id));
        changes.jobSteps.push_back({JobId(1), StepId(id), false});
    }
    changes.newJobs[0].stepsTotal = 6;
    work::StepProgress running;
    running.state = work::StepState::Running;
    changes.steps = {{StepId(1), finishedStep(work::StepResult::Succeeded)},
                     {StepId(2), finishedStep(work::StepResult::Cached)},
                     {StepId(3), finishedStep(work::StepResult::DependencyFailed)},
                     {StepId(4), running}};
    ASSERT_TRUE(persist(changes).has_value());
    const auto view = ask<JobView>(*store, &Store::findJob, JobId(1));
    ASSERT_TRUE(view.has_value()) << view.error().message;
    EXPECT_EQ(view->stepsDone, 2U);
    EXPECT_EQ(view->stepsFailed, 1U);
    EXPECT_EQ(view->stepsRunning, 1U);
    EXPECT_EQ(view->row.stepsTotal, 6U);
    const auto listed = ask<JobViews>(*store, &Store::findJobs, JobFilter{});
    ASSERT_EQ(listed->size(), 1U);
    EXPECT_EQ(listed->front().stepsDone, 2U);
    EXPECT_EQ(listed->front().stepsFailed, 1U);
    EXPECT_EQ(listed->front().stepsRunning, 1U);
}

TEST_P(StoreContract, SaysWhichIdIsUnknown)
{
    lead();
    const auto job = ask<JobView>(*store, &Store::findJob, JobId(42));
    ASSERT_FALSE(job.has_value());
    EXPECT_EQ(job.error().code, ErrorCode::NotFound);
    EXPECT_EQ(job.error().message, "no job 42");
    const auto stored = ask<work::StoredJob>(*store, &Store::loadJob, JobId(43));
    ASSERT_FALSE(stored.has_value());
    EXPECT_EQ(stored.error().code, ErrorCode::NotFound);
    EXPECT_EQ(stored.error().message, "no job 43");
    StepFilter steps;
    steps.job = JobId(42);
    EXPECT_TRUE((ask<StepViews>(*store, &Store::findSteps, steps)->empty()));
    AttemptFilter attempts;
    attempts.job = JobId(42);
    EXPECT_TRUE((ask<AttemptViews>(*store, &Store::findAttempts, attempts)->empty()));
}

// Job 1 needs steps 1 (root) to 3, job 2 needs steps 3 and 4 (root); 4 needs 3, 1 needs 2 and 3.
work::Changes twoJobs()
{
    work::Changes changes;
    changes.machines = {machineRow(1, "alpha"), machineRow(7, "beta")};
    changes.newJobs = {jobRow(1), jobRow(2)};
    changes.newSteps = {fullStep(1), nixStep(2), nixStep(3), commandStep(4)};
    changes.newSteps.front().progress.result.reset(); // as of every step that is not finished
    changes.dependencies = {{StepId(1), StepId(2)}, {StepId(1), StepId(3)}, {StepId(4), StepId(3)}};
    changes.jobSteps = {{JobId(1), StepId(1), true},  {JobId(1), StepId(2), false}, {JobId(1), StepId(3), false},
                        {JobId(2), StepId(3), false}, {JobId(2), StepId(4), true}};
    changes.newAttempts = {attemptRow(11, 3, 1), attemptRow(12, 2, 1), fullAttempt(13, 3, 2)};
    changes.steps = {{StepId(3), finishedStep(work::StepResult::Succeeded)}};
    return changes;
}

TEST_P(StoreContract, FindsStepsByEveryFilter)
{
    lead();
    ASSERT_TRUE(persist(twoJobs()).has_value());
    const auto steps = [this](const StepFilter& filter) {
        Ids ids;
        const auto found = ask<StepViews>(*store, &Store::findSteps, filter);
        EXPECT_TRUE(found.has_value()) << found.error().message;
        for (const StepView& view : found.value_or(StepViews{}))
            ids.push_back(view.row.id.value());
        return ids;
    };
    EXPECT_EQ(steps({}), (Ids{4, 3, 2, 1}));
    EXPECT_EQ(steps({.job = JobId(1)}), (Ids{3, 2, 1}));
    EXPECT_EQ(steps({.job = JobId(2)}), (Ids{4, 3}));
    EXPECT_EQ(steps({.job = JobId(1), .rootsOnly = true}), Ids{1});
    EXPECT_EQ(steps({.job = JobId(2), .rootsOnly = true, .limit = 1}), Ids{4});
    EXPECT_EQ(steps({.job = JobId(2), .step = StepId(3), .rootsOnly = true}), Ids{});
    EXPECT_EQ(steps({.job = JobId(2), .step = StepId(3)}), Ids{3});
    EXPECT_EQ(steps({.job = JobId(2), .step = StepId(1)}), Ids{});
    EXPECT_EQ(steps({.step = StepId(1)}), Ids{1});
    EXPECT_EQ(steps({.step = StepId(9)}), Ids{});
    EXPECT_EQ(steps({.state = work::StepState::Finished}), Ids{3});
    EXPECT_EQ(steps({.state = work::StepState::Blocked}), (Ids{4, 2}));
    EXPECT_EQ(steps({.state = work::StepState::Delayed}), Ids{1});
    EXPECT_EQ(steps({.job = JobId(2), .state = work::StepState::Blocked}), Ids{4});
    EXPECT_EQ(steps({.before = StepId(3)}), (Ids{2, 1}));
    EXPECT_EQ(steps({.job = JobId(1), .before = StepId(3), .limit = 1}), Ids{2});
}

// A job may list its roots only.
TEST_P(StoreContract, FindsUnfinishedStepsThatNoJobLists)
{
    lead();
    work::Changes changes = twoJobs();
    changes.newSteps.push_back(commandStep(5));
    changes.newSteps.push_back(commandStep(6));
    changes.steps.push_back({StepId(6), finishedStep(work::StepResult::Cancelled)});
    ASSERT_TRUE(persist(changes).has_value());
    StepFilter filter;
    filter.state = commandStep(5).progress.state;
    filter.limit = 1;
    const auto found = ask<StepViews>(*store, &Store::findSteps, filter);
    ASSERT_TRUE(found.has_value()) << found.error().message;
    ASSERT_EQ(found->size(), 1U);
    EXPECT_EQ(found->front().row.id, StepId(5));
}

TEST_P(StoreContract, ShowsAStepWithWhatBelongsToIt)
{
    lead();
    const work::Changes changes = twoJobs();
    ASSERT_TRUE(persist(changes).has_value());
    StepFilter filter;
    filter.job = JobId(1);
    const auto found = ask<StepViews>(*store, &Store::findSteps, filter);
    ASSERT_TRUE(found.has_value()) << found.error().message;
    ASSERT_EQ(found->size(), 3U);
    const StepView& third = found->at(0);
    EXPECT_FALSE(third.root);
    EXPECT_TRUE(third.dependsOn.empty());
    ASSERT_TRUE(third.newest.has_value());
    EXPECT_EQ(show(*third.newest), show(changes.newAttempts[2])); // 13, not 11
    EXPECT_EQ(third.machine, "beta");
    const auto& nix = std::get<work::NixWork>(*third.row.spec.work);
    const auto& sent = std::get<work::NixWork>(*changes.newSteps[2].spec.work);
    EXPECT_EQ(nix.drv, ""); // left out: it may be large
    EXPECT_EQ(nix.drvPath, sent.drvPath);
    EXPECT_EQ(nix.outputs, sent.outputs);
    EXPECT_EQ(nix.inputPaths, sent.inputPaths);
    EXPECT_EQ(found->at(1).machine, "alpha");
    const StepView& first = found->at(2);
    EXPECT_TRUE(first.root);
    EXPECT_EQ(first.dependsOn, (std::vector<StepId>{StepId(2), StepId(3)}));
    EXPECT_FALSE(first.newest.has_value());
    EXPECT_EQ(first.machine, "");
    EXPECT_EQ(show(first.row), show(changes.newSteps[0]));
}

TEST_P(StoreContract, FindsAttemptsByEveryFilter)
{
    lead();
    const work::Changes changes = twoJobs();
    ASSERT_TRUE(persist(changes).has_value());
    const auto attempts = [this](const AttemptFilter& filter) {
        Ids ids;
        const auto found = ask<AttemptViews>(*store, &Store::findAttempts, filter);
        EXPECT_TRUE(found.has_value()) << found.error().message;
        for (const AttemptView& view : found.value_or(AttemptViews{}))
            ids.push_back(view.row.id.value());
        return ids;
    };
    EXPECT_EQ(attempts({}), (Ids{11, 12, 13}));
    EXPECT_EQ(attempts({.job = JobId(1)}), (Ids{11, 12, 13}));
    EXPECT_EQ(attempts({.job = JobId(2)}), (Ids{11, 13})); // of shared steps too, whoever wanted them
    EXPECT_EQ(attempts({.step = StepId(3)}), (Ids{11, 13}));
    EXPECT_EQ(attempts({.attempt = AttemptId(12)}), Ids{12});
    EXPECT_EQ(attempts({.step = StepId(3), .attempt = AttemptId(12)}), Ids{});
    EXPECT_EQ(attempts({.job = JobId(1), .after = AttemptId(11)}), (Ids{12, 13}));
    EXPECT_EQ(attempts({.after = AttemptId(11), .limit = 1}), Ids{12});
    const auto found = ask<AttemptViews>(*store, &Store::findAttempts, AttemptFilter{.attempt = AttemptId(13)});
    ASSERT_EQ(found->size(), 1U);
    EXPECT_EQ(show(found->front().row), show(changes.newAttempts[2]));
    EXPECT_EQ(found->front().machine, "beta");
}

TEST_P(StoreContract, LoadsAFinishedJobWhole)
{
    lead();
    work::Changes changes = twoJobs();
    changes.jobs = {{JobId(1), finishedJob(work::JobState::Failed)}};
    ASSERT_TRUE(persist(changes).has_value());
    const auto stored = ask<work::StoredJob>(*store, &Store::loadJob, JobId(1));
    ASSERT_TRUE(stored.has_value()) << stored.error().message;
    work::JobRow job = changes.newJobs[0];
    job.progress = changes.jobs[0].progress;
    EXPECT_EQ(show(stored->job), show(job));
    ASSERT_EQ(stored->steps.size(), 3U);
    EXPECT_EQ(show(stored->steps[1]), show(withoutText(changes.newSteps[1])));
    ASSERT_EQ(stored->dependencies.size(), 2U);
    EXPECT_EQ(stored->dependencies[1].dependsOn, StepId(3));
    ASSERT_EQ(stored->jobSteps.size(), 3U);
    EXPECT_TRUE(stored->jobSteps[0].root);
}

// What the job needs and does not list matters only where it did not end well, or has paths to tell.
TEST_P(StoreContract, LoadsAJobThatListsOnlyItsRoots)
{
    lead();
    work::Changes changes = oneJob(1);
    changes.newSteps.push_back(commandStep(2));
    changes.newSteps.push_back(commandStep(3));
    changes.newSteps.push_back(commandStep(4));
    changes.dependencies = {{StepId(1), StepId(2)}, {StepId(1), StepId(3)}, {StepId(1), StepId(4)}};
    work::StepProgress revealing = finishedStep(work::StepResult::Succeeded);
    revealing.revealed = {{"out", "/nix/store/x", "sha256:ab", 1}};
    changes.steps = {{StepId(1), finishedStep(work::StepResult::Failed)},
                     {StepId(2), finishedStep(work::StepResult::Succeeded)},
                     {StepId(3), revealing},
                     {StepId(4), finishedStep(work::StepResult::Failed)}};
    changes.jobs = {{JobId(1), finishedJob(work::JobState::Failed)}};
    ASSERT_TRUE(persist(changes).has_value());
    const auto stored = ask<work::StoredJob>(*store, &Store::loadJob, JobId(1));
    ASSERT_TRUE(stored.has_value()) << stored.error().message;
    ASSERT_EQ(stored->steps.size(), 2U);
    EXPECT_EQ(stored->steps[1].id, StepId(3));
    ASSERT_EQ(stored->dependencies.size(), 2U);
    EXPECT_EQ(stored->dependencies[0].dependsOn, StepId(3));
    EXPECT_EQ(stored->dependencies[1].dependsOn, StepId(4));
    EXPECT_EQ(stored->jobSteps.size(), 1U);
}

TEST_P(StoreContract, GivesTheTextAndInputsOfDerivations)
{
    lead();
    work::Changes changes = twoJobs();
    work::NixWork odd = std::get<work::NixWork>(*changes.newSteps[1].spec.work);
    odd.drv = oddBytes();
    odd.inputPaths = {"/nix/store/a", "/nix/store/b"};
    changes.newSteps[1].spec.work = std::make_shared<const work::Work>(odd);
    work::StepRow bare = nixStep(5); // its file is in the server's own store
    bare.spec.work = std::make_shared<const work::Work>(work::NixWork{"/nix/store/x.drv", {}, {}, {{"out", ""}}});
    changes.newSteps.push_back(bare);
    ASSERT_TRUE(persist(changes).has_value());
    static_cast<void>(restart());
    using Derivations = std::vector<StoredDerivation>;
    const auto ask3 = [this](const std::vector<StepId>& ids) {
        return ask<Derivations>(*store, &Store::loadDerivations, ids);
    };
    // In any order, twice, of a command, of a step that is not there.
    const auto found = ask3({StepId(5), StepId(2), StepId(3), StepId(2), StepId(1), StepId(99)});
    ASSERT_TRUE(found.has_value()) << found.error().message;
    ASSERT_EQ(found->size(), 3U);
    EXPECT_EQ(found->at(0).step, StepId(2));
    EXPECT_EQ(found->at(0).drv, odd.drv);
    EXPECT_EQ(found->at(0).inputPaths, odd.inputPaths);
    EXPECT_EQ(found->at(1).step, StepId(3));
    EXPECT_EQ(found->at(1).drv, std::get<work::NixWork>(*changes.newSteps[2].spec.work).drv);
    EXPECT_EQ(found->at(2).step, StepId(5));
    EXPECT_EQ(found->at(2).drv, "");
    EXPECT_TRUE(found->at(2).inputPaths.empty());
    EXPECT_EQ(ask3({})->size(), 0U);
    const auto tooMany = ask3(std::vector<StepId>(kMaxRowsAnswered + 1, StepId(1)));
    ASSERT_FALSE(tooMany.has_value());
    EXPECT_EQ(tooMany.error().code, ErrorCode::Invalid);
}

TEST_P(StoreContract, KeepsTokens)
{
    lead();
    const TokenRow builder{"t1", "hash\xFF", "builder", "b \xC3(", WallTime::fromMicros(5), std::nullopt, false};
    const TokenRow client{"a2", "hash2", "client", "c", WallTime::fromMicros(6), WallTime::fromMicros(7), false};
    ASSERT_TRUE(ask<void>(*store, &Store::addToken, builder).has_value());
    ASSERT_TRUE(ask<void>(*store, &Store::addToken, client).has_value());
    const auto twice = ask<void>(*store, &Store::addToken, client);
    ASSERT_FALSE(twice.has_value());
    EXPECT_EQ(twice.error().code, ErrorCode::Conflict);

    (void)restart();
    const auto found = ask<TokenRow>(*store, &Store::findToken, "t1");
    ASSERT_TRUE(found.has_value()) << found.error().message;
    EXPECT_EQ(found->hash, builder.hash);
    EXPECT_EQ(found->kind, "builder");
    EXPECT_EQ(found->name, builder.name);
    EXPECT_EQ(found->created, builder.created);
    EXPECT_FALSE(found->expires.has_value());
    EXPECT_FALSE(found->revoked);
    const auto unknown = ask<TokenRow>(*store, &Store::findToken, "x");
    ASSERT_FALSE(unknown.has_value());
    EXPECT_EQ(unknown.error().code, ErrorCode::NotFound);
    EXPECT_EQ(unknown.error().message, "no token x");

    ASSERT_TRUE(ask<void>(*store, &Store::revokeToken, "a2").has_value());
    EXPECT_EQ(ask<void>(*store, &Store::revokeToken, "x").error().code, ErrorCode::NotFound);
    const auto all = ask<std::vector<TokenRow>>(*store, &Store::listTokens);
    ASSERT_TRUE(all.has_value());
    ASSERT_EQ(all->size(), 2U);
    EXPECT_EQ(all->at(0).id, "t1"); // oldest first
    EXPECT_EQ(all->at(1).expires, client.expires);
    EXPECT_TRUE(all->at(1).revoked);
}

} // namespace
} // namespace penstock::store
