// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/log/logger.h"

#include "shared/base/text.h"
#include "shared/log/rate_limit.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <thread>
#include <vector>

namespace penstock::log {
namespace {

struct HandClock final : Clock {
    Now at;
    [[nodiscard]] Now now() const override { return at; }
};

struct Sink {
    std::shared_ptr<HandClock> clock = std::make_shared<HandClock>();
    std::vector<std::string> lines;

    LogOptions options()
    {
        return {.level = LogLevel::Info,
                .format = LogFormat::Journal,
                .burst = 2,
                .window = std::chrono::seconds(1),
                .clock = clock,
                .write = [this](std::string_view line) { lines.emplace_back(line); }};
    }
};

TEST(Logger, RecordsBelowTheLevelAreNotWritten)
{
    Sink sink;
    const auto logger = makeLogger(sink.options());
    logger->debug("a.b");
    logger->info("a.c", {{"n", 1}});
    EXPECT_EQ(sink.lines, (std::vector<std::string>{"<6>a.c n=1\n"}));
}

TEST(Logger, ABurstIsCutAndToldWithTheNextRecordOfThatEvent)
{
    Sink sink;
    const auto logger = makeLogger(sink.options());
    for (int i = 0; i < 5; ++i)
        logger->info("noisy");
    logger->info("quiet");
    sink.clock->at.mono = Instant{std::chrono::seconds(1)};
    logger->info("noisy");
    EXPECT_EQ(sink.lines, (std::vector<std::string>{"<6>noisy\n", "<6>noisy\n", "<6>quiet\n",
                                                    "<6>noisy suppressed=3\n"}));
}

TEST(Logger, WhatWasNeverToldIsToldAtTheEnd)
{
    Sink sink;
    {
        const auto logger = makeLogger(sink.options());
        for (int i = 0; i < 3; ++i)
            logger->error("noisy");
    }
    EXPECT_EQ(sink.lines.back(), "<4>log.suppressed of_event=noisy count=1\n");
}

TEST(Logger, LinesOfManyThreadsStayWhole)
{
    Sink sink;
    LogOptions options = sink.options();
    options.burst = 1000;
    const auto logger = makeLogger(options);
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t)
        threads.emplace_back([&logger] {
            for (int i = 0; i < 100; ++i)
                logger->info("tick", {{"i", i}});
        });
    threads.clear();
    EXPECT_EQ(sink.lines.size(), 400U);
}

TEST(RateLimit, MemoryIsBoundedWhateverNamesComeIn)
{
    RateLimit limit(1, std::chrono::seconds(1));
    const Instant now{};
    for (std::size_t i = 0; i < RateLimit::kMaxEvents; ++i)
        EXPECT_TRUE(limit.admit(fmt::format("event.{}", i), now).write);
    EXPECT_TRUE(limit.admit("one.more", now).write);
    EXPECT_FALSE(limit.admit("two.more", now).write);
    const auto untold = limit.takeUntold();
    ASSERT_EQ(untold.size(), 1U);
    EXPECT_EQ(untold.front().event, RateLimit::kOtherEvents);
}

} // namespace
} // namespace penstock::log
