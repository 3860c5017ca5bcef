// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/cache/copy_outbox.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/cache/cache_fixture.h"

#include <csignal>
#include <fmt/format.h>
#include <fstream>
#include <sys/wait.h>
#include <unistd.h>

namespace penstock::cache {
namespace {

nix::StorePath pathOf(int number)
{
    return makePath(fmt::format("p{}", number)).info.path;
}

struct CopyQueueTest : ::testing::Test {
    test::TempDirectory directory;
    CopyQueueOptions options;
    Instant now{std::chrono::hours(1)};

    std::unique_ptr<CopyQueue> open()
    {
        auto queue = CopyQueue::open(directory.path() + "/queue", options);
        EXPECT_TRUE(queue) << queue.error().message;
        return *std::move(queue);
    }
    std::optional<CopyEntry> take(CopyQueue& queue) const
    {
        auto entry = queue.take(now);
        EXPECT_TRUE(entry) << entry.error().message;
        return *entry;
    }
};
const Error kAway{ErrorCode::Unavailable, "no answer"};
const Error kBad{ErrorCode::Corrupt, "damaged"};

TEST_F(CopyQueueTest, GivesEntriesInTheirOrderAndForgetsThoseThatAreDone)
{
    const auto queue = open();
    ASSERT_TRUE(queue->add({pathOf(1), pathOf(2)}, std::string(32, 'a') + "-x.drv"));
    ASSERT_TRUE(queue->add({pathOf(3)}, {}));
    const auto first = take(*queue);
    ASSERT_TRUE(first);
    EXPECT_EQ(first->paths, (std::vector{pathOf(1), pathOf(2)}));
    EXPECT_EQ(first->log, std::string(32, 'a') + "-x.drv");
    const auto second = take(*queue);
    ASSERT_TRUE(second);
    EXPECT_EQ(second->paths, std::vector{pathOf(3)});
    EXPECT_FALSE(take(*queue)) << "both are taken";
    EXPECT_EQ(queue->status().copying, 2U);
    ASSERT_TRUE(queue->finished(first->number));
    ASSERT_TRUE(queue->finished(second->number));
    EXPECT_EQ(queue->status().waiting, 0U);
    EXPECT_EQ(queue->status().finished, 2U);
    EXPECT_FALSE(take(*open()));
}

TEST_F(CopyQueueTest, SurvivesARestartAlsoWithEntriesThatWereTaken)
{
    {
        const auto queue = open();
        ASSERT_TRUE(queue->add({pathOf(1)}, {}));
        ASSERT_TRUE(queue->add({pathOf(2)}, {}));
        ASSERT_TRUE(take(*queue));
    }
    const auto queue = open();
    EXPECT_EQ(queue->status().waiting, 2U);
    EXPECT_EQ(take(*queue)->paths, std::vector{pathOf(1)});
    ASSERT_TRUE(queue->add({pathOf(3)}, {}));
    EXPECT_EQ(take(*queue)->paths, std::vector{pathOf(2)});
    EXPECT_EQ(take(*queue)->paths, std::vector{pathOf(3)}) << "numbers go on";
}

TEST_F(CopyQueueTest, SurvivesAKillInTheMiddle)
{
    int ready[2];
    ASSERT_EQ(::pipe(ready), 0);
    const pid_t child = ::fork();
    if (child == 0) {
        const auto queue = CopyQueue::open(directory.path() + "/queue", options);
        for (int i = 0;; ++i) {
            if (!queue || !(*queue)->add({pathOf(i)}, {}) || ::write(ready[1], "x", 1) != 1)
                ::_exit(1);
        }
    }
    ::close(ready[1]);
    int told = 0;
    char byte = 0;
    while (told < 50 && ::read(ready[0], &byte, 1) == 1)
        ++told;
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    while (::read(ready[0], &byte, 1) == 1)
        ++told;
    ::close(ready[0]);
    const auto queue = open();
    EXPECT_GE(queue->status().waiting, static_cast<std::uint64_t>(told)) << "what was told is there";
    EXPECT_LE(queue->status().waiting, static_cast<std::uint64_t>(told) + 1);
    for (int i = 0; i < told; ++i)
        ASSERT_EQ(take(*queue)->paths, std::vector{pathOf(i)});
    EXPECT_EQ(queue->status().unreadable, 0U);
}

TEST_F(CopyQueueTest, PausesTheStoreThatIsAwayLongerAndLonger)
{
    const auto queue = open();
    ASSERT_TRUE(queue->add({pathOf(1)}, {}));
    ASSERT_TRUE(queue->add({pathOf(2)}, {}));
    std::vector<std::int64_t> pauses;
    for (int i = 0; i < 12; ++i) {
        const auto entry = take(*queue);
        ASSERT_TRUE(entry);
        EXPECT_EQ(entry->paths, std::vector{pathOf(1)}) << "the order is kept";
        queue->failed(entry->number, kAway, now);
        EXPECT_FALSE(take(*queue)) << "not the other one either";
        const Instant due = queue->nextDue().value();
        pauses.push_back(std::chrono::duration_cast<std::chrono::seconds>(due - now).count());
        now = due;
    }
    EXPECT_EQ(pauses[0], 5);
    EXPECT_EQ(pauses[1], 10);
    EXPECT_EQ(pauses[11], 15 * 60) << "not longer than that";
    EXPECT_EQ(queue->status().lastError, "no answer");
}

TEST_F(CopyQueueTest, PausesABadEntryAlone)
{
    const auto queue = open();
    ASSERT_TRUE(queue->add({pathOf(1)}, {}));
    ASSERT_TRUE(queue->add({pathOf(2)}, {}));
    const auto bad = take(*queue);
    queue->failed(bad->number, kBad, now);
    EXPECT_EQ(take(*queue)->paths, std::vector{pathOf(2)});
    EXPECT_FALSE(take(*queue));
    now = now + std::chrono::seconds(5);
    EXPECT_EQ(take(*queue)->paths, std::vector{pathOf(1)});
    const auto page = queue->list(0, 10).value();
    ASSERT_EQ(page.size(), 2U);
    EXPECT_EQ(page[0].attempts, 1U);
    EXPECT_EQ(page[0].lastError, "damaged");
}

TEST_F(CopyQueueTest, KeepsABoundedNumberInMemoryAndLosesNone)
{
    options.maxLoaded = 10;
    auto queue = open();
    constexpr int kCount = 300; // more than a folder holds
    for (int i = 0; i < kCount / 2; ++i)
        ASSERT_TRUE(queue->add({pathOf(i)}, {}));
    queue = open();
    for (int i = kCount / 2; i < kCount; ++i)
        ASSERT_TRUE(queue->add({pathOf(i)}, {}));
    EXPECT_EQ(queue->status().waiting, static_cast<std::uint64_t>(kCount));
    EXPECT_EQ(queue->list(100, 7).value().size(), 7U);
    EXPECT_EQ(queue->list(290, 100).value().size(), 10U) << "also of those that are not loaded";
    for (int i = 0; i < kCount; ++i) {
        const auto entry = take(*queue);
        ASSERT_TRUE(entry) << i;
        ASSERT_EQ(entry->paths, std::vector{pathOf(i)});
        ASSERT_TRUE(queue->finished(entry->number));
    }
    EXPECT_FALSE(take(*queue));
    EXPECT_FALSE(queue->nextDue());
}

TEST_F(CopyQueueTest, SplitsALongListIntoEntries)
{
    const auto queue = open();
    std::vector<nix::StorePath> paths;
    for (int i = 0; i < 600; ++i)
        paths.push_back(pathOf(i));
    ASSERT_TRUE(queue->add(paths, std::string(32, 'a') + "-x.drv"));
    std::vector<nix::StorePath> taken;
    for (int i = 0; i < 3; ++i) {
        const auto entry = take(*queue);
        ASSERT_TRUE(entry);
        EXPECT_EQ(entry->log.empty(), i != 2) << "the log with the last";
        taken.insert(taken.end(), entry->paths.begin(), entry->paths.end());
    }
    EXPECT_EQ(taken, paths);
}

TEST_F(CopyQueueTest, PassesOverAFileThatIsNoEntry)
{
    {
        const auto queue = open();
        ASSERT_TRUE(queue->add({pathOf(1)}, {}));
        ASSERT_TRUE(queue->add({pathOf(2)}, {}));
    }
    std::ofstream(directory.path() + "/queue/0000000000000000/0000000000000001") << "penstock-copy 1\npath x";
    const auto queue = open();
    EXPECT_EQ(take(*queue)->paths, std::vector{pathOf(2)});
    EXPECT_EQ(queue->status().unreadable, 1U);
}

struct CopyOutboxTest : CacheTest {
    test::TempDirectory directory;
    std::shared_ptr<test::MemoryObjects> further = std::make_shared<test::MemoryObjects>();
    std::unique_ptr<BinaryCache> first = open();
    std::unique_ptr<BinaryCache> second = openFurther();

    std::unique_ptr<BinaryCache> openFurther()
    {
        return BinaryCache::open(std::make_unique<test::MemoryObjectStore>(further), {}, clock, logger)
            .value();
    }
    std::unique_ptr<CopyOutbox> openOutbox(const std::vector<std::string>& stores)
    {
        auto outbox = CopyOutbox::open(directory.path() + "/outbox", stores, {}, logger);
        EXPECT_TRUE(outbox) << outbox.error().message;
        return *std::move(outbox);
    }
};

TEST_F(CopyOutboxTest, BringsAPathWithAllItRefersToAndItsLog)
{
    const TestPath a = makePath("a");
    const TestPath b = makePath("b", {a});
    ASSERT_TRUE(sendAndPublish(*first, {a, b}));
    bool isGiven = false;
    const std::string drv = std::string(32, 'a') + "-b.drv";
    ASSERT_TRUE(first->putLog(drv, [&](std::span<char> to) -> Result<std::size_t> {
        return std::exchange(isGiven, true) ? 0 : std::string_view("built").copy(to.data(), to.size());
    }));
    const auto outbox = openOutbox({"file:///second"});
    ASSERT_TRUE(outbox->add({b.info.path}, drv));
    EXPECT_TRUE(outbox->run(0, *first, *second, clock, {}).value());
    EXPECT_FALSE(outbox->run(0, *first, *second, clock, {}).value());
    EXPECT_EQ(second->findMany({a.info.path, b.info.path})->size(), 2U);
    EXPECT_EQ(second->getLog(drv, 100).value(), "built");
    EXPECT_EQ(outbox->status()[0].queue.finished, 1U);
}

TEST_F(CopyOutboxTest, TriesAgainWhatAnAbsentStoreDidNotTake)
{
    const TestPath a = makePath("a");
    ASSERT_TRUE(sendAndPublish(*first, {a}));
    const auto outbox = openOutbox({"file:///second"});
    ASSERT_TRUE(outbox->add({a.info.path}, {}));
    further->onOperation = [](std::string_view, std::string_view) -> Result<void> {
        return fail(ErrorCode::Unavailable, "away");
    };
    EXPECT_TRUE(outbox->run(0, *first, *second, clock, {}).value());
    EXPECT_EQ(outbox->status()[0].queue.failures, 1U);
    EXPECT_FALSE(outbox->run(0, *first, *second, clock, {}).value()) << "not at once";
    further->onOperation = nullptr;
    clock.at = clock.at + std::chrono::seconds(6);
    EXPECT_TRUE(outbox->run(0, *first, *second, clock, {}).value());
    EXPECT_TRUE(second->find(a.info.path).value());
}

TEST_F(CopyOutboxTest, TellsOfAStoreThatIsNoLongerAskedFor)
{
    ASSERT_TRUE(openOutbox({"file:///second", "s3://third"})->add({pathOf(1)}, {}));
    const auto outbox = openOutbox({"file:///second"});
    const auto status = outbox->status();
    ASSERT_EQ(status.size(), 2U);
    EXPECT_EQ(status[1].store, "s3://third");
    EXPECT_FALSE(status[1].isConfigured);
    EXPECT_EQ(status[1].queue.waiting, 1U);
    EXPECT_EQ(openOutbox({"s3://third"})->status()[0].queue.waiting, 1U) << "it comes back";
}

} // namespace
} // namespace penstock::cache
