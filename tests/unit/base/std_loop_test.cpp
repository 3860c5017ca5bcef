// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/base/std_loop.h"

#include <future>
#include <gtest/gtest.h>

namespace penstock {
namespace {

TEST(StdLoop, RunsPostedTasksInOrderOnItsThread)
{
    std::vector<int> seen;
    std::promise<bool> done;
    StdLoop loop("test");
    EXPECT_FALSE(loop.isHere());
    for (int i = 0; i < 3; ++i)
        loop.post([&seen, i] { seen.push_back(i); });
    loop.post([&] { done.set_value(loop.isHere()); });
    EXPECT_TRUE(done.get_future().get());
    EXPECT_EQ(seen, (std::vector{0, 1, 2}));
}

TEST(StdLoop, EqualInstantsKeepInsertionOrderAndCancelledTimersDoNotRun)
{
    std::vector<int> seen;
    std::promise<void> done;
    StdLoop loop("test");
    const Instant at = SystemClock{}.now().mono + std::chrono::milliseconds(5);
    loop.postAt(at, [&] { seen.push_back(1); });
    const Loop::TimerId cancelled = loop.postAt(at, [&] { seen.push_back(2); });
    loop.postAt(at, [&] { seen.push_back(3); });
    loop.postAt(at, [&] { done.set_value(); });
    loop.cancel(cancelled);
    done.get_future().wait();
    EXPECT_EQ(seen, (std::vector{1, 3}));
}

TEST(StdLoop, DestructionRunsWhatWasPosted)
{
    bool ran = false;
    {
        StdLoop loop("test");
        loop.post([&] { ran = true; });
    }
    EXPECT_TRUE(ran);
}

} // namespace
} // namespace penstock
