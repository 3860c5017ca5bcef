// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/transfer/fetch_table.h"

#include <gtest/gtest.h>

#include <fmt/format.h>

namespace penstock::transfer {
namespace {

nix::StorePath path(unsigned number)
{
    return *nix::StorePath::fromBaseName(fmt::format("{:032}-p", number));
}

nix::NarInfo info(unsigned number, std::initializer_list<unsigned> references = {},
                  std::uint64_t size = kSmallNar + 1)
{
    nix::NarInfo made{path(number), "", "", {}, {}, nix::hashOf(""), size, {}, {}, "", {}, ""};
    for (const unsigned reference : references)
        made.references.insert(path(reference));
    return made;
}

std::shared_ptr<FetchBatch> take(FetchTable& table)
{
    return table.take(*nixdaemon::Interrupt::create(), 1);
}

TEST(FetchTable, GivesReferencesFirst)
{
    FetchTable table;
    FetchJob job;
    table.add(job, {info(2), info(1, {2, 1})}, 0);
    const auto first = take(table);
    EXPECT_EQ(first->infos.front().path, path(2));
    EXPECT_FALSE(table.hasReady()) << "the referrer waits";
    table.settle(*first, 1, std::nullopt);
    const auto second = take(table);
    EXPECT_EQ(second->infos.front().path, path(1));
    table.settle(*second, 1, std::nullopt);
    EXPECT_TRUE(job.isOver());
    table.withdraw(job);
}

TEST(FetchTable, SmallPathsWithTheirReferrersAreOneBatch)
{
    FetchTable table;
    FetchJob job;
    table.add(job, {info(1, {}, 10), info(2, {1}, 10), info(3, {2, 1}, 10), info(4, {3})}, 0);
    const auto batch = take(table);
    ASSERT_EQ(batch->infos.size(), 3U) << "all but the large one";
    EXPECT_EQ(batch->infos[2].path, path(3));
    table.settle(*batch, 3, std::nullopt);
    EXPECT_EQ(take(table)->infos.front().path, path(4));
}

TEST(FetchTable, APathThatTwoWantTravelsOnce)
{
    FetchTable table;
    FetchJob one;
    FetchJob two;
    table.add(one, {info(1)}, 0);
    table.add(two, {info(1)}, 0);
    const auto batch = take(table);
    EXPECT_FALSE(table.hasReady());
    table.withdraw(one);
    EXPECT_FALSE(batch->interrupt.isRaised()) << "the other one still wants it";
    table.settle(*batch, 1, std::nullopt);
    EXPECT_TRUE(two.isOver());
    EXPECT_FALSE(two.error);
    table.withdraw(two);
}

TEST(FetchTable, WhatNobodyWantsIsInterrupted)
{
    FetchTable table;
    FetchJob job;
    table.add(job, {info(1), info(2)}, 0);
    const auto batch = take(table);
    table.withdraw(job);
    EXPECT_TRUE(batch->interrupt.isRaised());
    EXPECT_FALSE(table.hasReady());
    table.settle(*batch, 0, Error{ErrorCode::Cancelled, "cancelled"});
    EXPECT_FALSE(table.hasReady());
}

TEST(FetchTable, AFailureIsOfTheJobWhoseRoadItWas)
{
    FetchTable table;
    FetchJob one;
    FetchJob two;
    table.add(one, {info(1)}, 0);
    table.add(two, {info(1)}, 0);
    table.settle(*take(table), 0, Error{ErrorCode::Denied, "the grant is over"});
    ASSERT_TRUE(one.error);
    EXPECT_FALSE(two.error);
    ASSERT_TRUE(table.hasReady()) << "the other one's road is tried";
    table.settle(*take(table), 1, std::nullopt);
    EXPECT_TRUE(two.isOver());
    table.withdraw(one);
    table.withdraw(two);
}

TEST(FetchTable, WhatCameInSinceItWasLookedForIsNotFetchedAgain)
{
    FetchTable table;
    FetchJob one;
    table.add(one, {info(1)}, 0);
    const std::uint64_t lookedAt = table.serial();
    table.settle(*take(table), 1, std::nullopt);
    FetchJob two;
    table.add(two, {info(1)}, lookedAt);
    EXPECT_TRUE(two.isOver());
    EXPECT_FALSE(table.hasReady());
    table.withdraw(one);
    table.withdraw(two);
}

TEST(FetchTable, AFailedBatchKeepsWhatCameBeforeAndRetriesTheRest)
{
    FetchTable table;
    FetchJob one;
    FetchJob two;
    table.add(one, {info(1, {}, 1), info(2, {1}, 1), info(3, {2}, 1)}, 0);
    table.add(two, {info(3, {2}, 1)}, 0);
    const auto batch = take(table);
    ASSERT_EQ(batch->infos.size(), 2U) << "half of what there is, for one worker";
    table.settle(*batch, 1, Error{ErrorCode::Corrupt, "damaged"});
    EXPECT_TRUE(one.error);
    EXPECT_EQ(one.progress.pathsDone, 1U);
    table.withdraw(one);
    EXPECT_EQ(take(table)->infos.front().path, path(3))
        << "wanted by the other one, which looks after itself";
}

} // namespace
} // namespace penstock::transfer
