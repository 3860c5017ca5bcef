// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/commands/job_file.h"

#include <gtest/gtest.h>

namespace penstock::client {
namespace {

TEST(JobFile, KindsAreToldApart)
{
    EXPECT_EQ(guessKind("-", "{\n  \"command\": \"x\"\n}\n"), JobFileKind::Single);
    EXPECT_EQ(guessKind("-", "{\"command\": \"x\"}\n{\"command\": \"y\"}\n"), JobFileKind::Batch);
    EXPECT_EQ(guessKind("-", " [\n {\"command\": \"x\"}]"), JobFileKind::Batch);
    EXPECT_EQ(guessKind("-", "[affinity]\nos = [\"linux\"]\n"), JobFileKind::Toml);
    EXPECT_EQ(guessKind("-", "command = \"x\"\n"), JobFileKind::Toml);
    EXPECT_EQ(guessKind("a.toml", "{"), JobFileKind::Toml);
    EXPECT_EQ(guessKind("a.jsonl", "x"), JobFileKind::Batch);
}

TEST(JobFile, TomlHasTheSameKeys)
{
    EXPECT_EQ(
        *singleJob(JobFileKind::Toml, "a.toml",
                   "command = 'date'\nretries = 2\n[affinity]\nos = ['linux']\n[resources]\ncpus = 0.5\n"),
        R"({"affinity":{"os":["linux"]},"command":"date","resources":{"cpus":0.5},"retries":2})");
    const auto bad = singleJob(JobFileKind::Toml, "a.toml", "command = \nretries");
    ASSERT_FALSE(bad);
    EXPECT_TRUE(bad.error().message.starts_with("a.toml:1: ")) << bad.error().message;
}

TEST(JobFile, SingleJsonIsPassedOnAsItIs)
{
    EXPECT_EQ(*singleJob(JobFileKind::Single, "x", "{ \"odd\": 1 }"), "{ \"odd\": 1 }");
    EXPECT_FALSE(singleJob(JobFileKind::Single, "x", "{"));
    EXPECT_FALSE(singleJob(JobFileKind::Single, "x", "[1]"));
}

TEST(BatchBuilder, ClosesABatchBeforeTheLimit)
{
    BatchBuilder builder;
    const std::string job = R"({"command":")" + std::string(300'000, 'x') + "\"}";
    std::vector<Batch> batches;
    for (std::uint64_t line = 1; line <= 10; ++line)
        if (auto full = builder.add(job, line); *full)
            batches.push_back(**full);
    batches.push_back(*builder.finish());
    std::size_t jobs = 0;
    for (const auto& batch : batches) {
        EXPECT_LE(batch.json.size(), kMaxRequestBytes + 1);
        EXPECT_LT(batch.json.size(), 1U << 20U);
        EXPECT_TRUE(batch.json.starts_with("[{") && batch.json.ends_with("}]"));
        jobs += batch.lineNumbers.size();
    }
    EXPECT_EQ(jobs, 10U);
    EXPECT_FALSE(builder.finish());
}

TEST(BatchBuilder, CountsJobsToo)
{
    BatchBuilder builder;
    std::size_t full = 0;
    for (std::uint64_t line = 1; line <= kMaxRequestJobs + 1; ++line)
        full += builder.add("{}", line)->has_value() ? 1U : 0U;
    EXPECT_EQ(full, 1U);
    EXPECT_EQ(builder.finish()->lineNumbers, (std::vector<std::uint64_t>{kMaxRequestJobs + 1}));
}

TEST(BatchBuilder, NamesTheLineOfAMistake)
{
    BatchBuilder builder;
    EXPECT_TRUE(builder.add("{}", 1));
    EXPECT_TRUE(builder.add("{oops", 17).error().message.starts_with("line 17: "));
    EXPECT_TRUE(builder.add("7", 18).error().message.starts_with("line 18: "));
    const auto large = builder.add("{\"a\":\"" + std::string(kMaxRequestBytes, 'x') + "\"}", 19);
    EXPECT_EQ(large.error().code, ErrorCode::Exhausted);
}

TEST(JobFile, ArraysAreTakenApart)
{
    EXPECT_EQ(*arrayElements(R"([{"a": 1}, {"b": [2]}])"),
              (std::vector<std::string>{R"({"a":1})", R"({"b":[2]})"}));
    EXPECT_TRUE(arrayElements("[]")->empty());
    EXPECT_FALSE(arrayElements("[1]"));
    EXPECT_FALSE(arrayElements("[{}"));
}

} // namespace
} // namespace penstock::client
