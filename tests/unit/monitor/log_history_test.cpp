// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/replica/history.h"
#include "monitor-gui/replica/link_status.h"
#include "monitor-gui/replica/log_buffer.h"
#include "monitor-gui/replica/verdict.h"
#include "tests/unit/monitor/farm_events.h"

#include <gtest/gtest.h>

namespace penstock::gui {
namespace {

using namespace test;

LogEvent piece(std::uint64_t offset, std::string bytes, LogStream stream = LogStream::Out)
{
    LogEvent event;
    event.offset = offset;
    event.pieces.push_back({server(1), stream, std::move(bytes)});
    return event;
}

TEST(LogBuffer, MakesLinesOfPiecesThatEndAnywhere)
{
    LogBuffer log;
    log.apply(piece(0, "one\ntw"));
    ASSERT_EQ(log.lines().size(), 2U);
    EXPECT_EQ(log.lines()[1].text, "tw");
    log.apply(piece(6, "o\n\nfour"));
    ASSERT_EQ(log.lines().size(), 4U);
    EXPECT_EQ(log.lines()[1].text, "two");
    EXPECT_EQ(log.lines()[2].text, "");
    EXPECT_EQ(log.lines()[3].text, "four");
}

TEST(LogBuffer, SkipsBytesItHasAlready)
{
    LogBuffer log;
    log.apply(piece(0, "one\ntwo\n"));
    log.apply(piece(4, "two\nthree\n"));
    ASSERT_EQ(log.lines().size(), 3U);
    EXPECT_EQ(log.lines()[2].text, "three");
    EXPECT_EQ(log.endOffset(), 14U);
}

TEST(LogBuffer, SaysHowMuchIsMissing)
{
    LogBuffer log;
    log.apply(piece(0, "one\n"));
    log.apply(piece(1004, "later\n"));
    ASSERT_EQ(log.lines().size(), 3U);
    EXPECT_EQ(log.lines()[1].stream, LogStream::System);
    EXPECT_NE(log.lines()[1].text.find("1000 bytes"), std::string::npos);
}

TEST(LogBuffer, KeepsStreamsApartWithinALine)
{
    LogBuffer log;
    log.apply(piece(0, "out half "));
    log.apply(piece(9, "error\n", LogStream::Err));
    log.apply(piece(15, "and rest\n"));
    ASSERT_EQ(log.lines().size(), 2U);
    EXPECT_EQ(log.lines()[0].text, "out half and rest");
    EXPECT_EQ(log.lines()[1].stream, LogStream::Err);
}

TEST(LogBuffer, DropsEscapesAndLetsACarriageReturnStartAnew)
{
    LogBuffer log;
    log.apply(piece(0, "\x1B[31mred\x1B[0m 10%\r20%\r30%\n\x1B]0;title\arest\r\n"));
    ASSERT_EQ(log.lines().size(), 2U);
    EXPECT_EQ(log.lines()[0].text, "30%");
    EXPECT_EQ(log.lines()[1].text, "rest");
}

TEST(LogBuffer, ShowsBinaryWithoutBreaking)
{
    LogBuffer log;
    log.apply(piece(0, std::string("a\0b\xFF", 4) + "\n"));
    ASSERT_EQ(log.lines().size(), 1U);
    EXPECT_EQ(log.lines()[0].text, "a\u00B7b\uFFFD");
}

TEST(LogBuffer, StaysWithinItsBounds)
{
    LogBuffer log;
    const std::string many(LogBuffer::kMaxLines + 500, '\n');
    log.apply(piece(0, many));
    EXPECT_EQ(log.lines().size(), LogBuffer::kMaxLines);
    EXPECT_EQ(log.firstLine(), 500U);
    log.clear();
    log.apply(piece(0, std::string(LogBuffer::kMaxLineBytes * 3, 'x') + "\nnext\n"));
    EXPECT_LT(log.lines()[0].text.size(), LogBuffer::kMaxLineBytes + 64);
    EXPECT_NE(log.lines()[0].text.find("cut after"), std::string::npos);
    EXPECT_EQ(log.lines()[1].text, "next");
}

FarmReplica farmWith(std::uint64_t finished, std::int64_t second, FarmReplica farm = {})
{
    SnapshotEvent event = snapshot(1);
    event.totals.finishedOk = finished;
    EXPECT_EQ(farm.apply(event, server(second), at(second)), Applied::Yes);
    return farm;
}

TEST(History, KeepsFineSamplesThenCoarseOnesWithinItsBounds)
{
    History history;
    for (std::int64_t second = 0; second < 5000; ++second)
        history.observe(farmWith(0, second), server(second));
    const std::vector<FarmSample> all = history.since(std::chrono::hours(2));
    EXPECT_LE(all.size(), History::kFineLimit + History::kCoarseLimit);
    EXPECT_EQ(history.since(std::chrono::seconds(60)).size(), 61U);
    for (std::size_t place = 1; place < all.size(); ++place) {
        EXPECT_LT(all[place - 1].at, all[place].at);
        EXPECT_FALSE(isGap(all[place - 1], all[place]));
    }
}

TEST(History, SeesAGapWhereNothingWasReceived)
{
    History history;
    history.observe(farmWith(0, 0), server(0));
    history.observe(farmWith(0, 60), server(60));
    const std::vector<FarmSample> all = history.since(std::chrono::hours(1));
    ASSERT_EQ(all.size(), 2U);
    EXPECT_TRUE(isGap(all[0], all[1]));
}

TEST(History, CountsPerMinuteAndSurvivesAServerRestart)
{
    History history;
    for (std::int64_t second = 0; second <= 30; ++second)
        history.observe(farmWith(static_cast<std::uint64_t>(second), second), server(second));
    ASSERT_TRUE(history.throughput().has_value());
    EXPECT_NEAR(history.throughput()->finishedPerMinute, 60, 0.01);
    history.observe(farmWith(0, 31), server(31)); // restarted
    EXPECT_FALSE(history.throughput().has_value());
    history.observe(farmWith(5, 41), server(41));
    EXPECT_NEAR(history.throughput()->finishedPerMinute, 30, 0.01);
}

TEST(Chip, TellsTheStateOfTheLinkInWords)
{
    LinkStatus status;
    EXPECT_EQ(chipOf(status, std::nullopt, at(0)).kind, ChipKind::Idle);
    status.phase = LinkPhase::Open;
    EXPECT_EQ(chipOf(status, at(10).mono, at(11)).text, "Live");
    EXPECT_EQ(chipOf(status, at(10).mono, at(14)).kind, ChipKind::Lagging);
    EXPECT_EQ(chipOf(status, at(10).mono, at(23)).kind, ChipKind::Stale);
    status.phase = LinkPhase::Waiting;
    status.retryAt = at(26).mono;
    EXPECT_EQ(chipOf(status, at(10).mono, at(23)).text, "Reconnecting in 3 s");
    status.phase = LinkPhase::Refused;
    status.reason = "wrong token";
    EXPECT_EQ(chipOf(status, at(10).mono, at(23)).text, "Refused: wrong token");
}

TEST(BackOff, DoublesToItsLongestWithJitter)
{
    const BackOff backOff;
    EXPECT_EQ(backOff.delay(1, 0.5), std::chrono::milliseconds(250));
    EXPECT_EQ(backOff.delay(3, 0.5), std::chrono::seconds(1));
    EXPECT_EQ(backOff.delay(1000, 0.5), std::chrono::seconds(15));
    EXPECT_EQ(backOff.delay(1, 0.0), std::chrono::microseconds(187'500));
    EXPECT_LT(backOff.delay(1, 0.999), std::chrono::microseconds(312'500));
}

TEST(Verdict, SaysThatNoMachineCanRunIt)
{
    QueueRecord record{.key = "k", .system = "riscv64-linux", .features = {"kvm"}, .queued = 2};
    const Verdict verdict = verdictOf(record, server(0));
    EXPECT_EQ(verdict.kind, VerdictKind::Starving);
    EXPECT_NE(verdict.sentence.find("riscv64-linux with kvm"), std::string::npos);
    record.eligibleMachines = 1;
    EXPECT_EQ(verdictOf(record, server(0)).kind, VerdictKind::Busy);
    record.freeSlots = 2;
    record.oldestReady = server(0);
    EXPECT_EQ(verdictOf(record, server(1)).kind, VerdictKind::Moving);
    EXPECT_EQ(verdictOf(record, server(60)).kind, VerdictKind::Starving);
    record.queued = 0;
    EXPECT_EQ(verdictOf(record, server(60)).kind, VerdictKind::Quiet);
}

TEST(FormatAge, WritesAgesShortly)
{
    using namespace std::chrono;
    EXPECT_EQ(formatAge(milliseconds(850)), "850 ms");
    EXPECT_EQ(formatAge(seconds(42)), "42 s");
    EXPECT_EQ(formatAge(seconds(192)), "3 min 12 s");
    EXPECT_EQ(formatAge(minutes(125)), "2 h 05 min");
    EXPECT_EQ(formatAge(hours(99)), "4 d 3 h");
    EXPECT_EQ(formatAge(seconds(-1)), "0 ms");
}

} // namespace
} // namespace penstock::gui
