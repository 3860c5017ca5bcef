// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/spool/journal.h"

#include "tests/support/temp_directory.h"

#include <fstream>
#include <gtest/gtest.h>
#include <sstream>

namespace penstock::builder {
namespace {

using test::TempDirectory;

protocol::AttemptResult resultOf(std::uint64_t attempt)
{
    protocol::AttemptResult result;
    result.attempt = AttemptId(attempt);
    result.outcome = protocol::Outcome::Failed;
    result.exitCode = 3;
    result.error = "broken";
    return result;
}

JournalEntry entryOf(std::uint64_t step)
{
    return {StepId(step), WallTime::fromMicros(5), 1234, Duration{99}, {}, false};
}

std::string contentsOf(const std::string& path)
{
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

TEST(Journal, RemembersEveryStateOfAnAttempt)
{
    const TempDirectory temp;
    const std::string path = temp.path() + "/journal";
    {
        auto journal = Journal::open(path, "boot-1");
        ASSERT_TRUE(journal);
        for (std::uint64_t attempt = 1; attempt <= 4; ++attempt)
            ASSERT_TRUE(journal->started(AttemptId(attempt), entryOf(attempt * 10)));
        for (std::uint64_t attempt = 2; attempt <= 4; ++attempt)
            ASSERT_TRUE(journal->finished(resultOf(attempt)));
        ASSERT_TRUE(journal->resultStored(AttemptId(3)));
        ASSERT_TRUE(journal->forgotten(AttemptId(4)));
    }
    const auto journal = Journal::open(path, "boot-2");
    ASSERT_TRUE(journal);
    EXPECT_EQ(journal->formerBootId(), "boot-1");
    ASSERT_EQ(journal->entries().size(), 3U);
    const JournalEntry& running = journal->entries().at(AttemptId(1));
    EXPECT_EQ(running.step, StepId(10));
    EXPECT_EQ(running.session, 1234);
    EXPECT_EQ(running.sinceBoot, Duration{99});
    EXPECT_FALSE(running.result);
    EXPECT_EQ(journal->entries().at(AttemptId(2)).result, resultOf(2));
    EXPECT_EQ(journal->entries().at(AttemptId(2)).step, StepId(20));
    EXPECT_FALSE(journal->entries().at(AttemptId(2)).resultStored);
    EXPECT_TRUE(journal->entries().at(AttemptId(3)).resultStored);
}

TEST(Journal, CutsATornRecordWhereverItIsTorn)
{
    const TempDirectory temp;
    const std::string path = temp.path() + "/journal";
    {
        auto journal = Journal::open(path, "b");
        ASSERT_TRUE(journal && journal->started(AttemptId(1), entryOf(1)) && journal->finished(resultOf(1)));
    }
    const std::string whole = contentsOf(path);
    const std::size_t twoRecords = readJournal(whole).goodBytes - 1;
    for (std::size_t size = 0; size < whole.size(); ++size) {
        const JournalContents cut = readJournal(std::string_view(whole).substr(0, size));
        EXPECT_LE(cut.goodBytes, size);
        EXPECT_EQ(cut.goodBytes + cut.droppedBytes, size);
    }
    std::ofstream(path, std::ios::binary).write(whole.data(), static_cast<std::streamsize>(twoRecords));
    {
        auto journal = Journal::open(path, "b");
        ASSERT_TRUE(journal);
        EXPECT_GT(journal->droppedBytes(), 0U);
        EXPECT_FALSE(journal->entries().at(AttemptId(1)).result);
        ASSERT_TRUE(journal->finished(resultOf(1)));
    }
    const auto again = Journal::open(path, "b");
    ASSERT_TRUE(again);
    EXPECT_EQ(again->droppedBytes(), 0U);
    EXPECT_TRUE(again->entries().at(AttemptId(1)).result);
}

TEST(Journal, StopsAtADamagedRecord)
{
    const TempDirectory temp;
    const std::string path = temp.path() + "/journal";
    {
        auto journal = Journal::open(path, "b");
        ASSERT_TRUE(journal && journal->started(AttemptId(1), entryOf(1)) &&
                    journal->started(AttemptId(2), entryOf(2)));
    }
    std::string bytes = contentsOf(path);
    bytes.back() = static_cast<char>(bytes.back() ^ 1);
    const JournalContents contents = readJournal(bytes);
    EXPECT_EQ(contents.entries.size(), 1U);
    EXPECT_GT(contents.droppedBytes, 0U);
}

TEST(Journal, IsRewrittenWhenItIsMostlyHistory)
{
    const TempDirectory temp;
    const std::string path = temp.path() + "/journal";
    auto journal = Journal::open(path, "b");
    ASSERT_TRUE(journal);
    ASSERT_TRUE(journal->started(AttemptId(1), entryOf(1)));
    for (std::uint64_t attempt = 2; attempt < 20'000; ++attempt) {
        ASSERT_TRUE(journal->started(AttemptId(attempt), entryOf(attempt)));
        ASSERT_TRUE(journal->finished(resultOf(attempt)));
        ASSERT_TRUE(journal->forgotten(AttemptId(attempt)));
    }
    EXPECT_LT(std::filesystem::file_size(path), 2U << 20U);
    const auto again = Journal::read(path);
    ASSERT_TRUE(again);
    EXPECT_EQ(again->entries.size(), 1U);
    EXPECT_EQ(again->bootId, "b");
}

} // namespace
} // namespace penstock::builder
