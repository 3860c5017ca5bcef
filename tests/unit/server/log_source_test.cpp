// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/log_source.h"

#include "tests/support/temp_directory.h"

#include <gtest/gtest.h>

#include <array>

namespace penstock::app {
namespace {

using protocol::Stream;

struct NullLogger final : Logger {
    void log(LogLevel, std::string_view, std::initializer_list<LogField>) override {}
};

struct LogSource : ::testing::Test {
    void add(const std::string& text, Stream stream)
    {
        logs.append({AttemptId{1}, size, {{WallTime{}, stream, text}}}, [](const Result<logs::Stored>&) {});
        size += text.size();
    }
    Result<std::string> text()
    {
        const ByteSource source = logSource(logs, AttemptId{1});
        std::string all;
        std::array<char, 1'000> buffer{};
        for (;;) {
            PENSTOCK_TRY(const auto count, source(buffer));
            if (count == 0)
                return all;
            all.append(buffer.data(), count);
        }
    }

    test::TempDirectory directory;
    NullLogger logger;
    logs::LogStore logs{directory.path(), {}, logger, [](AttemptId, std::uint64_t, bool) {}};
    std::uint64_t size = 0;
};

TEST_F(LogSource, IsWhatTheBuildSaidAndNothingElse)
{
    add("fetching\n", Stream::System);
    add("out\n", Stream::Out);
    add("note\n", Stream::System);
    add("err\n", Stream::Err);
    EXPECT_EQ(text().value(), "out\nerr\n");
}

// More than is read at a time, on either side of what counts.
TEST_F(LogSource, LongNotesDoNotEndIt)
{
    add(std::string(600'000, 'n'), Stream::System);
    add(std::string(600'000, 'o'), Stream::Out);
    add(std::string(600'000, 'n'), Stream::System);
    EXPECT_EQ(text().value(), std::string(600'000, 'o'));
}

TEST_F(LogSource, ALogOfNotesOnlyIsEmpty)
{
    add("could not fetch inputs", Stream::System);
    EXPECT_EQ(text().value(), "");
}

TEST_F(LogSource, WhatWasNeverWrittenIsAnError)
{
    EXPECT_EQ(text().error().code, ErrorCode::NotFound);
}

} // namespace
} // namespace penstock::app
