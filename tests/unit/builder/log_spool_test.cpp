// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/spool/log_spool.h"

#include "shared/protocol/limits.h"
#include "tests/support/temp_directory.h"

#include <gtest/gtest.h>

namespace penstock::builder {
namespace {

using test::TempDirectory;

using protocol::Stream;

WallTime at(std::int64_t us)
{
    return WallTime::fromMicros(us);
}

TEST(LogSpool, GivesBackWhatWasWrittenInChunks)
{
    const TempDirectory temp;
    auto spool = LogSpool::create(temp.path() + "/l");
    ASSERT_TRUE(spool);
    ASSERT_TRUE(spool->append(at(1), Stream::Out, "one\n") && spool->append(at(2), Stream::Err, "two\n") &&
                spool->append(at(3), Stream::System, "three\n"));
    EXPECT_EQ(spool->end().logOffset, 14U);
    LogPosition position = spool->begin();
    const auto first = spool->read(position, 8);
    ASSERT_TRUE(first);
    EXPECT_EQ(*first, (std::vector<protocol::LogRecord>{{at(1), Stream::Out, "one\n"}, {at(2), Stream::Err, "two\n"}}));
    EXPECT_EQ(position.logOffset, 8U);
    const auto second = spool->read(position, 1); // at least one
    ASSERT_TRUE(second);
    EXPECT_EQ(second->size(), 1U);
    EXPECT_EQ(position, spool->end());
    EXPECT_TRUE(spool->read(position, 100)->empty());
}

TEST(LogSpool, SeeksToTheRecordThatHoldsAnOffset)
{
    const TempDirectory temp;
    auto spool = LogSpool::create(temp.path() + "/l");
    ASSERT_TRUE(spool && spool->append(at(1), Stream::Out, "aaaa") && spool->append(at(1), Stream::Out, "bbbb"));
    EXPECT_EQ(spool->seek(spool->begin(), 4)->logOffset, 4U);
    EXPECT_EQ(spool->seek(spool->begin(), 5)->logOffset, 4U);
    EXPECT_EQ(spool->seek(spool->begin(), 3)->logOffset, 0U);
    EXPECT_EQ(spool->seek(spool->begin(), 99)->logOffset, 8U);
}

TEST(LogSpool, IsReopenedWithATornEndCut)
{
    const TempDirectory temp;
    const std::string path = temp.path() + "/l";
    LogPosition end;
    {
        auto spool = LogSpool::create(path);
        ASSERT_TRUE(spool && spool->append(at(1), Stream::Out, "first"));
        end = spool->end();
        ASSERT_TRUE(spool->append(at(2), Stream::Out, "second"));
    }
    for (std::uint64_t size = end.fileOffset; size < end.fileOffset + 27; ++size) {
        std::filesystem::resize_file(path, size);
        auto spool = LogSpool::reopen(path);
        ASSERT_TRUE(spool) << size;
        EXPECT_EQ(spool->end(), end) << size;
        ASSERT_TRUE(spool->append(at(2), Stream::Out, "second"));
    }
    EXPECT_EQ(LogSpool::reopen(temp.path() + "/none").error().code, ErrorCode::NotFound);
}

TEST(LogSpool, GivesBackTheDiskAndStillKnowsWhereItStands)
{
    const TempDirectory temp;
    const std::string path = temp.path() + "/l";
    const std::string piece(protocol::kMaxLogRecordBytes - 1, 'x');
    LogPosition middle;
    LogPosition end;
    {
        auto spool = LogSpool::create(path);
        ASSERT_TRUE(spool);
        for (int i = 0; i < 200; ++i) {
            ASSERT_TRUE(spool->append(at(i), Stream::Out, piece));
            if (i == 149)
                middle = spool->end();
        }
        spool->release(middle);
        EXPECT_EQ(spool->begin(), middle);
        end = spool->end();
    }
    const auto again = LogSpool::reopen(path);
    ASSERT_TRUE(again);
    EXPECT_EQ(again->end(), end);
    EXPECT_EQ(again->begin(), middle);
    LogPosition position = again->begin();
    const auto records = again->read(position, 1);
    ASSERT_TRUE(records && records->size() == 1);
    EXPECT_EQ(records->front().time, at(150));
}

TEST(LogSpool, NoticesDamage)
{
    const TempDirectory temp;
    auto spool = LogSpool::create(temp.path() + "/l");
    ASSERT_TRUE(spool && spool->append(at(1), Stream::Out, "aaaa") && spool->append(at(1), Stream::Out, "bbbb"));
    LogPosition wrong{1, 3};
    const auto records = spool->read(wrong, 100);
    ASSERT_FALSE(records);
    EXPECT_EQ(records.error().code, ErrorCode::Corrupt);
}

} // namespace
} // namespace penstock::builder
