// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/base/pool.h"

#include <memory>

#include <gtest/gtest.h>

namespace penstock {
namespace {

Instant at(int seconds)
{
    return {std::chrono::seconds(seconds)};
}

TEST(IdlePool, GivesOutWhatWasUsedLastFirst)
{
    IdlePool<int> pool(3);
    EXPECT_FALSE(pool.take());
    EXPECT_FALSE(pool.put(1, at(1)));
    EXPECT_FALSE(pool.put(2, at(2)));
    EXPECT_EQ(pool.take(), 2);
    EXPECT_EQ(pool.take(), 1);
    EXPECT_FALSE(pool.take());
}

TEST(IdlePool, GivesBackWhatIsOverItsLimit)
{
    IdlePool<std::unique_ptr<int>> pool(1);
    EXPECT_FALSE(pool.put(std::make_unique<int>(1), at(1)));
    const auto refused = pool.put(std::make_unique<int>(2), at(2));
    ASSERT_TRUE(refused);
    EXPECT_EQ(**refused, 2);
}

TEST(IdlePool, TakesOutWhatHasGrownOld)
{
    IdlePool<int> pool(10);
    for (int i = 1; i <= 5; ++i)
        EXPECT_FALSE(pool.put(int{i}, at(i)));
    EXPECT_EQ(pool.takeOlderThan(at(3)), (std::vector<int>{1, 2}));
    EXPECT_TRUE(pool.takeOlderThan(at(3)).empty());
    EXPECT_EQ(pool.take(), 5);
    EXPECT_EQ(pool.takeOlderThan(at(100)), (std::vector<int>{3, 4}));
}

} // namespace
} // namespace penstock
