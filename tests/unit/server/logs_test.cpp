// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/logs/log_store.h"

#include <filesystem>
#include <fstream>
#include <future>
#include <gtest/gtest.h>
#include <numeric>
#include <unistd.h>

namespace penstock::logs {
namespace {

using protocol::LogChunk;
using protocol::LogRecord;
using protocol::Stream;

struct NullLogger final : Logger {
    void log(LogLevel, std::string_view, std::initializer_list<LogField>) override {}
};

class Logs : public ::testing::Test {
protected:
    void SetUp() override
    {
        std::string pattern = ::testing::TempDir() + "penstock-logs-XXXXXX";
        ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
        m_folder = pattern;
    }
    void TearDown() override { std::filesystem::remove_all(m_folder, m_error); }

    static LogChunk chunk(std::uint64_t offset, std::vector<std::string> parts, Stream stream = Stream::Out)
    {
        LogChunk c{AttemptId{7}, offset, {}};
        for (std::string& part : parts)
            c.records.push_back({WallTime::fromMicros(5), stream, std::move(part)});
        return c;
    }
    static std::string textOf(const LogSlice& slice)
    {
        return std::accumulate(slice.records.begin(), slice.records.end(), std::string(),
                               [](std::string all, const LogRecord& r) { return std::move(all) + r.data; });
    }
    [[nodiscard]] std::string path() const { return m_folder + "/0000/7.log"; }

    std::string m_folder;
    std::error_code m_error;
};

TEST_F(Logs, KeepStreamsAndTimesAndReadFromAnyOffset)
{
    auto file = LogFile::open(path(), true).value();
    ASSERT_TRUE(file->append(chunk(0, {"out1", "out2"})));
    ASSERT_TRUE(file->append(chunk(8, {"err"}, Stream::Err)));
    const LogSlice all = file->read(0, 100).value();
    EXPECT_EQ(textOf(all), "out1out2err");
    EXPECT_EQ(all.records.at(2).stream, Stream::Err);
    EXPECT_EQ(all.records.at(2).time.micros(), 5);
    const LogSlice middle = file->read(6, 3).value();
    EXPECT_EQ(textOf(middle), "t2e");
    EXPECT_EQ(middle.next, 9U);
    EXPECT_EQ(file->read(99, 5).value().records.size(), 0U);
}

TEST_F(Logs, RepeatedAndOverlappingChunksAreWrittenOnce)
{
    auto file = LogFile::open(path(), true).value();
    ASSERT_TRUE(file->append(chunk(0, {"abc"})));
    ASSERT_TRUE(file->append(chunk(0, {"abc"})));
    ASSERT_TRUE(file->append(chunk(1, {"bcd", "ef"})));
    EXPECT_EQ(textOf(file->read(0, 100).value()), "abcdef");
}

TEST_F(Logs, AHoleIsRefused)
{
    auto file = LogFile::open(path(), true).value();
    const auto refused = file->append(chunk(5, {"abc"}));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::Conflict);
    EXPECT_EQ(file->size(), 0U);
}

TEST_F(Logs, ATornTailIsCutOffAtEveryLength)
{
    {
        auto file = LogFile::open(path(), true).value();
        ASSERT_TRUE(file->append(chunk(0, {"first"})));
        ASSERT_TRUE(file->append(chunk(5, {"second"})));
    }
    const auto whole = std::filesystem::file_size(path());
    for (std::uintmax_t cut = 1; cut < 30; ++cut) {
        const std::string copy = m_folder + "/copy.log";
        std::filesystem::copy_file(path(), copy, std::filesystem::copy_options::overwrite_existing);
        std::filesystem::resize_file(copy, whole - cut);
        auto file = LogFile::open(copy, false).value();
        EXPECT_EQ(textOf(file->read(0, 100).value()), "first") << cut;
        ASSERT_TRUE(file->append(chunk(5, {"again"})));
        EXPECT_EQ(textOf(file->read(0, 100).value()), "firstagain") << cut;
    }
}

TEST_F(Logs, TheEndMarkSurvivesAndNothingIsAddedAfterIt)
{
    {
        auto file = LogFile::open(path(), true).value();
        ASSERT_TRUE(file->append(chunk(0, {"x"})));
        ASSERT_TRUE(file->end());
    }
    auto file = LogFile::open(path(), false).value();
    EXPECT_TRUE(file->ended());
    ASSERT_TRUE(file->append(chunk(1, {"y"})));
    EXPECT_EQ(file->size(), 1U);
}

TEST_F(Logs, ForeignFilesAreLeftAlone)
{
    std::ofstream(m_folder + "/foreign.log") << "something else entirely";
    const auto refused = LogFile::open(m_folder + "/foreign.log", false);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::Corrupt);
}

TEST_F(Logs, ManyRecordsAreFoundThroughTheSparseIndex)
{
    constexpr std::uint64_t kRecords = 20'000;
    {
        auto file = LogFile::open(path(), true).value();
        for (std::uint64_t i = 0; i < kRecords; ++i)
            ASSERT_TRUE(file->append(chunk(i * 64, {std::string(63, static_cast<char>('a' + i % 26)) + "\n"})));
    }
    auto file = LogFile::open(path(), false).value();
    EXPECT_EQ(file->size(), kRecords * 64);
    for (const std::uint64_t i : {std::uint64_t{0}, std::uint64_t{4095}, std::uint64_t{12345}, kRecords - 1})
        EXPECT_EQ(textOf(file->read(i * 64, 1).value()), std::string(1, static_cast<char>('a' + i % 26)));
}

TEST_F(Logs, AStoreEndsALogWhenItsLastBytesArrive)
{
    NullLogger logger;
    std::promise<std::uint64_t> ended;
    LogStore store(m_folder, {}, logger, [&](AttemptId, std::uint64_t size, bool end) {
        if (end)
            ended.set_value(size);
    });
    store.append(chunk(0, {"half"}), [](Result<Stored> stored) { EXPECT_EQ(stored.value().offset, 4U); });
    store.end(AttemptId{7}, 8, true);
    store.append(chunk(4, {"rest"}), [](Result<Stored> stored) { EXPECT_EQ(stored.value().offset, 8U); });
    EXPECT_EQ(ended.get_future().get(), 8U);
    std::promise<LogSlice> slice;
    store.read(AttemptId{7}, 2, 100, [&](Result<LogSlice> read) { slice.set_value(std::move(read).value()); });
    const LogSlice got = slice.get_future().get();
    EXPECT_EQ(textOf(got), "lfrest");
    EXPECT_TRUE(got.ended);
}

TEST_F(Logs, AHoleIsAnsweredWithWhatIsKnown)
{
    NullLogger logger;
    LogStore store(m_folder, {}, logger, [](AttemptId, std::uint64_t, bool) {});
    std::promise<Stored> answer;
    store.append(chunk(100, {"late"}), [&](Result<Stored> stored) { answer.set_value(stored.value()); });
    EXPECT_EQ(answer.get_future().get().offset, 0U);
}

TEST_F(Logs, OpenFilesAreBounded)
{
    NullLogger logger;
    LogLimits limits;
    limits.maxOpenFiles = 4;
    std::promise<void> done;
    LogStore store(m_folder, limits, logger, [](AttemptId, std::uint64_t, bool) {});
    for (std::uint64_t i = 1; i <= 50; ++i)
        store.append({AttemptId{i}, 0, {{WallTime{}, Stream::Out, "x"}}}, [](Result<Stored> s) { EXPECT_TRUE(s); });
    store.read(AttemptId{1}, 0, 10, [&](Result<LogSlice> slice) {
        EXPECT_EQ(textOf(slice.value()), "x");
        done.set_value();
    });
    done.get_future().wait();
    std::size_t open = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
        std::error_code error;
        open += std::filesystem::read_symlink(entry.path(), error).string().find(m_folder) == 0 ? 1U : 0U;
    }
    EXPECT_LE(open, 4U);
}

} // namespace
} // namespace penstock::logs
