// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/dispatch/outbox.h"

#include <gtest/gtest.h>

namespace penstock::dispatch {
namespace {

core::Command stored(std::uint64_t session, std::uint64_t attempt, std::uint64_t after)
{
    return core::SendStored{SessionId{session}, {AttemptId{attempt}}, after};
}

std::vector<std::uint64_t> attemptsOf(const std::vector<core::Command>& commands)
{
    std::vector<std::uint64_t> ids;
    for (const core::Command& command : commands)
        ids.push_back(std::get<core::SendStored>(command).attempts.front().value());
    return ids;
}

using Ids = std::vector<std::uint64_t>;

TEST(Outbox, WhatNeedsNothingStoredLeavesAtOnce)
{
    Outbox outbox;
    EXPECT_EQ(attemptsOf(outbox.hold({stored(1, 10, 0)})), Ids{10});
    EXPECT_EQ(outbox.size(), 0U);
}

TEST(Outbox, HoldsUntilTheBatchIsConfirmed)
{
    Outbox outbox;
    EXPECT_TRUE(outbox.hold({stored(1, 10, 2)}).empty());
    EXPECT_TRUE(outbox.confirm(1).empty());
    EXPECT_EQ(attemptsOf(outbox.confirm(2)), Ids{10});
    EXPECT_EQ(attemptsOf(outbox.hold({stored(1, 11, 2)})), Ids{11});
}

TEST(Outbox, NothingOvertakesOnTheWayToTheSamePeer)
{
    Outbox outbox;
    EXPECT_TRUE(outbox.hold({stored(1, 10, 5)}).empty());
    EXPECT_TRUE(outbox.hold({stored(1, 11, 0), stored(1, 12, 3)}).empty());
    EXPECT_EQ(attemptsOf(outbox.hold({stored(2, 20, 0)})), Ids{20}) << "another peer does not wait";
    EXPECT_TRUE(outbox.confirm(4).empty());
    EXPECT_EQ(attemptsOf(outbox.confirm(9)), (Ids{10, 11, 12}));
}

TEST(Outbox, AnOldConfirmationDoesNotTakeOneBack)
{
    Outbox outbox;
    EXPECT_TRUE(outbox.confirm(7).empty());
    EXPECT_TRUE(outbox.confirm(3).empty());
    EXPECT_EQ(outbox.confirmed(), 7U);
}

TEST(Outbox, ClosingASessionDropsWhatItWasOwed)
{
    Outbox outbox;
    EXPECT_TRUE(outbox.hold({stored(1, 10, 5), stored(2, 20, 5)}).empty());
    const auto leaving = outbox.hold({core::CloseSession{SessionId{1}, protocol::GoodbyeReason::Replaced, "x"}});
    EXPECT_EQ(leaving.size(), 1U);
    EXPECT_EQ(attemptsOf(outbox.confirm(5)), Ids{20});
}

} // namespace
} // namespace penstock::dispatch
