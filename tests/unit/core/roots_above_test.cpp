// SPDX-License-Identifier: GPL-3.0-or-later
// What jobs that claim only their roots make of the steps below.
#include "tests/unit/core/farm_fixture.h"

namespace penstock::core::test {
namespace {

struct RootsAbove : FarmTest {
    void cancel(JobId job) { ask(CancelJob{RequestId(nextRequest++), job, "ann"}); }
};

TEST_F(RootsAbove, BumpedTakeWhatTheyNeedAlong)
{
    static_cast<void>(submit(rootJob("first", {"a", "b"}, {{1, 0}})));
    const JobId second = submit(rootJob("second", {"c", "d"}, {{1, 0}}));
    ask(BumpJob{RequestId(nextRequest++), second, true});
    const SessionId session = connect("one");
    EXPECT_EQ(assignedName(), "c");
    ask(BumpJob{RequestId(nextRequest++), second, false});
    finish(session, durable.attempts.back().id);
    EXPECT_EQ(assignedName(), "a");
}

TEST_F(RootsAbove, BumpedFromTheStartAreFirst)
{
    static_cast<void>(submit(rootJob("first", {"a"}, {})));
    JobRequest job = rootJob("second", {"c", "d"}, {{1, 0}});
    job.bumped = now.wall;
    static_cast<void>(submit(std::move(job)));
    static_cast<void>(connect("one"));
    EXPECT_EQ(assignedName(), "c");
}

TEST_F(RootsAbove, HeldHoldWhatOnlyTheyNeed)
{
    const JobId first = submit(rootJob("first", {"a", "b"}, {{1, 0}}));
    ask(HoldJob{RequestId(nextRequest++), first, true, "ann"});
    static_cast<void>(connect("one"));
    EXPECT_TRUE(assigned().empty());
    EXPECT_EQ(core->totals().waiting.at("held"), 1U);
    const auto why = core->explainStep(first, idOf("a"), now);
    ASSERT_EQ(why->steps.size(), 1U);
    EXPECT_EQ(why->steps.front().reasons.front().code, "held");
    // Another job that needs the same lets it go on.
    const JobId second = submit(rootJob("second", {"a", "c"}, {{1, 0}}));
    EXPECT_EQ(assignedName(), "a");
    EXPECT_EQ(jobOf(onlyAssigned()), second);
}

TEST_F(RootsAbove, ReleasedLetGoWhatTheyNeed)
{
    const JobId job = submit(rootJob("first", {"a", "b"}, {{1, 0}}));
    ask(HoldJob{RequestId(nextRequest++), job, true, "ann"});
    static_cast<void>(connect("one"));
    ask(HoldJob{RequestId(nextRequest++), job, false, ""});
    EXPECT_EQ(assignedName(), "a");
}

TEST_F(RootsAbove, GivePriorityToWhatTheyNeedAlsoWhereItLivedBefore)
{
    static_cast<void>(submit(rootJob("first", {"a", "b"}, {{1, 0}})));
    static_cast<void>(submit(rootJob("second", {"c", "d"}, {{1, 0}})));
    JobRequest job = rootJob("third", {"c", "d", "e"}, {{1, 0}, {2, 1}});
    job.spec.priority = 5;
    static_cast<void>(submit(std::move(job)));
    static_cast<void>(connect("one"));
    EXPECT_EQ(assignedName(), "c");
}

TEST_F(RootsAbove, PayForWhatTheyNeedByTheirShareGroups)
{
    JobRequest first = rootJob("first", {"a", "b"}, {{1, 0}});
    first.spec.shareGroup = "one";
    JobRequest second = rootJob("second", {"a", "c"}, {{1, 0}});
    second.spec.shareGroup = "two";
    static_cast<void>(submit(std::move(first)));
    static_cast<void>(submit(std::move(second)));
    static_cast<void>(connect("m"));
    EXPECT_EQ(assignedName(), "a");
    for (const ShareView& share : core->shares(now))
        EXPECT_EQ(share.running, 1U) << share.group;
}

TEST_F(RootsAbove, TakeTheirBumpWithThemWhenTheyAreCancelled)
{
    static_cast<void>(submit(rootJob("first", {"x", "y"}, {{1, 0}})));
    static_cast<void>(submit(rootJob("second", {"a", "b"}, {{1, 0}})));
    JobRequest job = rootJob("third", {"a", "c"}, {{1, 0}});
    job.bumped = now.wall;
    const JobId third = submit(std::move(job));
    cancel(third);
    static_cast<void>(connect("one"));
    EXPECT_EQ(assignedName(), "x");
}

} // namespace
} // namespace penstock::core::test
