// SPDX-License-Identifier: GPL-3.0-or-later
// What the core tells lists and statistics: unfinished steps in parts, and what attempts took.
#include "tests/unit/core/farm_fixture.h"

#include <set>

namespace penstock::core::test {
namespace {

using Listing = FarmTest;
using work::StepState;
using namespace std::chrono_literals;

const std::set<StepState> kAll{StepState::Blocked, StepState::Ready, StepState::Delayed, StepState::Running};

TEST_F(Listing, GivesUnfinishedStepsInParts)
{
    (void)submit(nixJob("job", {"a", "b", "c"}, {{1, 0}, {2, 1}}));
    (void)submit(commandJob("other"));
    const auto all = core->liveSteps(kAll, StepId(0), 10);
    ASSERT_EQ(all.steps.size(), 4U);
    EXPECT_FALSE(all.next);
    EXPECT_EQ(all.steps[1].dependencies, 1U);
    EXPECT_EQ(all.steps[0].state, StepState::Ready);
    EXPECT_EQ(all.steps[1].state, StepState::Blocked);
    EXPECT_TRUE(all.steps[0].readySince);
    EXPECT_EQ(all.steps[3].name, "other"); // a command has no derivation

    const auto first = core->liveSteps(kAll, StepId(0), 3);
    ASSERT_EQ(first.steps.size(), 3U);
    ASSERT_TRUE(first.next);
    const auto rest = core->liveSteps(kAll, *first.next, 3);
    ASSERT_EQ(rest.steps.size(), 1U);
    EXPECT_EQ(rest.steps[0].id, all.steps[3].id);
    EXPECT_FALSE(rest.next);
    EXPECT_EQ(core->liveSteps({StepState::Blocked}, StepId(0), 10).steps.size(), 2U);
    EXPECT_TRUE(core->liveSteps({StepState::Running}, StepId(0), 10).steps.empty());
}

TEST_F(Listing, SumsWhatAttemptsTookByPhase)
{
    const SessionId machine = connect("m1");
    (void)submit(nixJob("job", {"a"}, {}));
    const AttemptId attempt = onlyAssigned();
    accept(machine, attempt);
    advance(10s);
    send(AttemptProgressed{machine, attempt, "building", {}});
    advance(30s);
    send(AttemptProgressed{machine, attempt, "uploading", {}});
    advance(5s);
    EXPECT_FALSE(core->machine(core->machines().front())->idleSince);
    finish(machine, attempt);
    for (const AttemptTimes& times : {core->counters().times, core->machine(core->machines().front())->times}) {
        EXPECT_EQ(times.attempts, 1U);
        EXPECT_EQ(times.total, 45s);
        EXPECT_EQ(times.fetching, 10s);
        EXPECT_EQ(times.building, 30s);
        EXPECT_EQ(times.sending, 5s);
    }
    const auto view = core->machine(core->machines().front());
    EXPECT_EQ(view->idleSince, now.wall);
    EXPECT_FALSE(view->lastFailure);
    EXPECT_TRUE(view->connected);
    EXPECT_EQ(core->counters().jobsSucceeded, 1U);
    EXPECT_EQ(core->counters().jobsFailed, 0U);
    EXPECT_EQ(core->counters().mostAttempts, 1U);
}

TEST_F(Listing, CountsWhatNeverSaidAPhaseAsTimeBeforeBuilding)
{
    const SessionId machine = connect("m1");
    (void)submit(commandJob("job"));
    const AttemptId attempt = onlyAssigned();
    accept(machine, attempt);
    advance(7s);
    finish(machine, attempt, protocol::Outcome::Failed, 1);
    EXPECT_EQ(core->counters().times.fetching, 7s);
    EXPECT_EQ(core->counters().times.building, 0s);
    EXPECT_EQ(core->counters().jobsFailed, 1U);
    EXPECT_EQ(core->machine(core->machines().front())->lastFailure, now.wall);
}

TEST_F(Listing, CallsNothingAFailureThatAPersonCancelled)
{
    const SessionId machine = connect("m1");
    const JobId job = submit(commandJob("job"));
    const AttemptId attempt = onlyAssigned();
    ask(CancelJob{RequestId(9), job, "ann"});
    finish(machine, attempt, protocol::Outcome::Cancelled);
    const auto view = core->machine(core->machines().front());
    EXPECT_FALSE(view->lastFailure);
    EXPECT_EQ(view->failed, 0U);
    EXPECT_EQ(view->finished, 1U);
}

} // namespace
} // namespace penstock::core::test
