// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/follow/log_cursor.h"

#include <gtest/gtest.h>

namespace penstock::client {
namespace {

monitor::LogData message(std::uint64_t offset, std::initializer_list<std::string> records, bool ended = false)
{
    monitor::LogData data;
    data.set_attempt_id(5);
    data.set_offset(offset);
    data.set_ended(ended);
    for (const auto& text : records) {
        auto& record = *data.add_records();
        record.set_stream(monitor::LOG_OUT);
        record.set_data(text);
    }
    return data;
}

std::string taken(LogCursor& cursor, const monitor::LogData& data)
{
    std::string text;
    for (const auto& piece : cursor.take(data))
        text += piece.data;
    return text;
}

TEST(LogCursor, PassesWhatFollowsOn)
{
    LogCursor cursor;
    EXPECT_EQ(taken(cursor, message(0, {"ab", "cd"})), "abcd");
    EXPECT_EQ(taken(cursor, message(4, {"ef"}, true)), "ef");
    EXPECT_EQ(cursor.next(), 6U);
    EXPECT_TRUE(cursor.ended());
}

TEST(LogCursor, CutsOffWhatCameBefore)
{
    LogCursor cursor;
    EXPECT_EQ(taken(cursor, message(0, {"abcd"})), "abcd");
    EXPECT_EQ(taken(cursor, message(0, {"ab", "cdef", "gh"})), "efgh");
    const auto pieces = cursor.take(message(6, {"ghij"}));
    ASSERT_EQ(pieces.size(), 1U);
    EXPECT_EQ(pieces[0].offset, 8U);
    EXPECT_EQ(taken(cursor, message(2, {"cdefghij"})), "");
}

TEST(LogCursor, AsksForWhatIsMissingAndTakesNothingMeanwhile)
{
    LogCursor cursor;
    EXPECT_EQ(taken(cursor, message(0, {"ab"})), "ab");
    EXPECT_EQ(taken(cursor, message(6, {"gh"}, true)), "");
    EXPECT_TRUE(cursor.missing());
    EXPECT_FALSE(cursor.ended());
    cursor.askedAgain();
    EXPECT_EQ(taken(cursor, message(2, {"cdef", "gh"}, true)), "cdefgh");
    EXPECT_TRUE(cursor.ended());
    EXPECT_EQ(cursor.lost(), 0U);
}

TEST(LogCursor, GoesOnWhenTheMissingPartIsGoneForGood)
{
    LogCursor cursor;
    EXPECT_EQ(taken(cursor, message(10, {"x"})), "");
    EXPECT_TRUE(cursor.missing());
    cursor.askedAgain();
    EXPECT_EQ(taken(cursor, message(10, {"x"})), "x");
    EXPECT_EQ(cursor.lost(), 10U);
    EXPECT_EQ(cursor.next(), 11U);
}

TEST(LogCursor, EndsWithoutData)
{
    LogCursor cursor;
    EXPECT_EQ(taken(cursor, message(0, {}, true)), "");
    EXPECT_TRUE(cursor.ended());
}

TEST(LogCursor, KeepsBinaryBytes)
{
    LogCursor cursor;
    const std::string bytes("\0\xff\n\x1b", 4);
    EXPECT_EQ(taken(cursor, message(0, {bytes})), bytes);
}

} // namespace
} // namespace penstock::client
