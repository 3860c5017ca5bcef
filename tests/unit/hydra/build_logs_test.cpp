// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/hydra/build_logs.h"

#include "server/logs/log_store.h"
#include "tests/support/temp_directory.h"

#include <csignal>
#include <filesystem>
#include <fstream>
#include <future>
#include <gtest/gtest.h>
#include <map>
#include <sstream>
#include <sys/resource.h>
#include <sys/stat.h>

namespace penstock::hydra {
namespace {

using protocol::LogRecord;
using protocol::Stream;

constexpr const char* kDrv = "/nix/store/00bgd045z0d4icpbc2yyz4gx48ak44la-hello.drv";
constexpr const char* kFile = "/build-logs/00/bgd045z0d4icpbc2yyz4gx48ak44la-hello.drv";

struct CountingLogger final : Logger {
    void log(LogLevel, std::string_view event, std::initializer_list<LogField>) override
    {
        ++events[std::string(event)];
    }
    std::map<std::string, int> events; // read when the log thread rests
};

struct SteppedClock final : Clock {
    Now now() const override { return {{at}, {at}}; }
    Duration at{0};
};

class HydraLogs : public ::testing::Test {
protected:
    HydraLogs() { restart(); }

    // As a server does that starts anew: it knows what is on disk, and nothing else.
    void restart()
    {
        m_store.reset();
        m_texts = std::make_unique<BuildLogs>(m_directory.path(), m_clock, m_logger, BuildLogLimits{2, 100});
        m_store = std::make_unique<logs::LogStore>(m_directory.path() + "/ours", logs::LogLimits{}, m_logger,
                                                   [](AttemptId, std::uint64_t, bool) {}, m_texts.get());
    }
    void add(std::uint64_t attempt, std::uint64_t offset, const std::string& text, Stream stream = Stream::Out)
    {
        m_store->append({AttemptId{attempt}, offset, {{WallTime{}, stream, text}}}, [](Result<logs::Stored>) {});
    }
    void open(std::uint64_t attempt, const std::string& drv = kDrv) { m_store->opened(AttemptId{attempt}, drv); }
    void run(std::uint64_t attempt) { m_store->running(AttemptId{attempt}, [] {}); }
    // Whether the log was whole.
    bool settle(std::uint64_t attempt, std::uint64_t bytes, bool hasRun = true)
    {
        std::promise<bool> answer;
        m_store->settle(AttemptId{attempt}, bytes, hasRun, [&](bool isWhole) { answer.set_value(isWhole); });
        return answer.get_future().get();
    }
    // As hydra-notify does behind step_finished, here for both of its ways.
    void compress()
    {
        rest();
        for (const char* ending : {".bz2", ".zst"})
            std::filesystem::copy_file(path(), path() + ending);
        std::filesystem::remove(path());
    }
    std::string compressed()
    {
        rest();
        std::string found;
        for (const char* ending : {".bz2", ".zst"})
            found += std::filesystem::exists(path() + ending) ? std::string(ending) + " " : "";
        return found;
    }
    void rest()
    {
        std::promise<void> done;
        m_store->running(AttemptId{999}, [&] { done.set_value(); });
        done.get_future().wait();
    }
    [[nodiscard]] std::string path(const std::string& file = kFile) const { return m_directory.path() + file; }
    // "(none)" when there is no file.
    std::string text(const std::string& file = kFile)
    {
        rest();
        std::ifstream in(path(file));
        std::stringstream all;
        all << in.rdbuf();
        return in.is_open() ? all.str() : "(none)";
    }

    test::TempDirectory m_directory;
    SteppedClock m_clock;
    CountingLogger m_logger;
    std::unique_ptr<BuildLogs> m_texts;
    std::unique_ptr<logs::LogStore> m_store;
};

TEST(BuildLogPath, IsCutAfterTwoCharactersOfTheBaseName)
{
    EXPECT_EQ(buildLogPath("/data", kDrv).value(), std::string("/data") + kFile);
    EXPECT_EQ(buildLogPath("/data", "00bgd045z0d4icpbc2yyz4gx48ak44la-hello.drv").value(),
              std::string("/data") + kFile);
    EXPECT_FALSE(buildLogPath("/data", "/nix/store/00bgd045z0d4icpbc2yyz4gx48ak44la-hello"));
    EXPECT_FALSE(buildLogPath("/data", "/nix/store/../../etc/passwd"));
    EXPECT_FALSE(buildLogPath("/data", ""));
}

TEST_F(HydraLogs, TheFileIsThereAndEmptyWhenTheAttemptRuns)
{
    open(1);
    EXPECT_EQ(text(), "(none)");
    run(1);
    EXPECT_EQ(text(), "");
}

TEST_F(HydraLogs, OnlyTheBuildersOutputIsKept)
{
    open(1);
    add(1, 0, "fetching\n", Stream::System);
    EXPECT_EQ(text(), "(none)");
    add(1, 9, "out\n");
    add(1, 13, "note\n", Stream::System);
    add(1, 18, "err\n", Stream::Err);
    EXPECT_EQ(text(), "out\nerr\n");
}

TEST_F(HydraLogs, RepeatedAndOverlappingChunksAreWrittenOnce)
{
    open(1);
    add(1, 0, "abc");
    add(1, 0, "abc");
    add(1, 1, "bcdef");
    EXPECT_EQ(text(), "abcdef");
}

TEST_F(HydraLogs, ANewAttemptBeginsWithAnEmptyFile)
{
    open(1);
    add(1, 0, "the first, which is longer\n");
    EXPECT_TRUE(settle(1, 27));
    open(2);
    EXPECT_EQ(text(), "the first, which is longer\n");
    run(2);
    EXPECT_EQ(text(), "");
    add(2, 0, "second\n");
    EXPECT_EQ(text(), "second\n");
}

TEST_F(HydraLogs, LateBytesOfAFormerAttemptAreNotMixedIn)
{
    open(1);
    add(1, 0, "one");
    open(2);
    add(2, 0, "two");
    add(1, 3, " late");
    open(1);
    add(1, 8, " later");
    EXPECT_EQ(text(), "two");
}

TEST_F(HydraLogs, NothingIsWrittenAfterTheEnd)
{
    open(1);
    add(1, 0, "all");
    EXPECT_TRUE(settle(1, 3));
    std::filesystem::rename(path(), path() + ".bz2"); // as Hydra's own compression does
    add(1, 3, "more");
    open(1); // the assignment was repeated
    run(1);
    add(1, 7, "more");
    EXPECT_TRUE(settle(1, 3)); // so was the result
    m_store->end(AttemptId{1}, 3, true);
    EXPECT_EQ(text(), "(none)");
}

TEST_F(HydraLogs, TheEndWaitsForTheLastByte)
{
    open(1);
    add(1, 0, "half");
    std::promise<std::string> atEnd;
    m_store->settle(AttemptId{1}, 8, true, [&](bool isWhole) {
        std::ifstream in(path());
        std::string all;
        std::getline(in, all);
        atEnd.set_value((isWhole ? "whole: " : "cut: ") + all);
    });
    add(1, 4, "rest");
    EXPECT_EQ(atEnd.get_future().get(), "whole: halfrest");
}

TEST_F(HydraLogs, TheEndDoesNotWaitWhenItIsToldSo)
{
    open(1);
    add(1, 0, "half");
    std::promise<bool> answer;
    m_store->settle(AttemptId{1}, 8, true, [&](bool isWhole) { answer.set_value(isWhole); });
    m_store->settleNow(AttemptId{1});
    EXPECT_FALSE(answer.get_future().get());
    add(1, 4, "rest");
    EXPECT_EQ(text(), "half");
}

TEST_F(HydraLogs, AnAttemptThatIsWaitedForNoMoreGoesOn)
{
    open(1);
    add(1, 0, "half");
    m_store->settle(AttemptId{1}, 8, true, [](bool) { ADD_FAILURE() << "nobody waits any more"; });
    m_store->unsettle(AttemptId{1});
    add(1, 4, "rest");
    EXPECT_EQ(text(), "halfrest");
    add(1, 8, "!");
    EXPECT_EQ(text(), "halfrest!");
}

TEST_F(HydraLogs, WhatWasNotOpenedIsNotWaitedFor)
{
    EXPECT_TRUE(settle(5, 1'000));
}

TEST_F(HydraLogs, AfterARestartTheFileGoesOn)
{
    open(1);
    add(1, 0, "before\n");
    EXPECT_EQ(text(), "before\n");
    std::ofstream(path(), std::ios::app) << "what a dying server left behind";
    restart();
    open(1);
    add(1, 7, "after\n");
    EXPECT_EQ(text(), "before\nafter\n");
}

TEST_F(HydraLogs, AfterARestartTheEndAloneMakesTheFileWhole)
{
    open(1);
    add(1, 0, "before\n");
    rest();
    std::filesystem::remove(path());
    restart();
    open(1);
    EXPECT_TRUE(settle(1, 7));
    EXPECT_EQ(text(), "before\n");
}

TEST_F(HydraLogs, ASilentBuildHasAnEmptyLogAndNotTheLastOne)
{
    open(1);
    add(1, 0, "old");
    EXPECT_TRUE(settle(1, 3));
    compress();
    open(2);
    EXPECT_TRUE(settle(2, 0));
    EXPECT_EQ(text(), "");
    EXPECT_EQ(compressed(), "");
}

TEST_F(HydraLogs, WhatHydraMadeOfAFormerLogGoesAsANewOneBegins)
{
    open(1);
    add(1, 0, "old");
    EXPECT_TRUE(settle(1, 3));
    compress();
    EXPECT_EQ(compressed(), ".bz2 .zst ");
    open(2);
    EXPECT_EQ(compressed(), ".bz2 .zst ") << "nothing has run yet";
    run(2);
    EXPECT_EQ(compressed(), "");
    add(2, 0, "new");
    EXPECT_TRUE(settle(2, 3));
    EXPECT_EQ(text(), "new");
}

TEST_F(HydraLogs, AnAttemptThatIsLostHasALogOnlyIfItRan)
{
    open(1);
    m_store->end(AttemptId{1}, 0, false);
    EXPECT_EQ(text(), "(none)");
    open(2);
    m_store->end(AttemptId{2}, 0, true);
    EXPECT_EQ(text(), "");
}

TEST_F(HydraLogs, ALogWithoutOutputIsAnEmptyFile)
{
    open(1);
    add(1, 0, "could not fetch inputs", Stream::System);
    EXPECT_TRUE(settle(1, 22));
    EXPECT_EQ(text(), "");
}

TEST_F(HydraLogs, WhatBuiltNothingLeavesTheFormerLogAlone)
{
    open(1);
    add(1, 0, "old");
    EXPECT_TRUE(settle(1, 3));
    open(2);
    add(2, 0, "found at the server", Stream::System);
    EXPECT_TRUE(settle(2, 19, false));
    EXPECT_EQ(text(), "old");
    open(3); // refused by the machine
    m_store->end(AttemptId{3}, 0, false);
    EXPECT_EQ(text(), "old");
}

TEST_F(HydraLogs, AnEmptyFileOfABuildThatWasNoneIsRemoved)
{
    open(1);
    run(1);
    EXPECT_EQ(text(), "");
    EXPECT_TRUE(settle(1, 0, false));
    EXPECT_EQ(text(), "(none)");
}

TEST_F(HydraLogs, AnAttemptThatIsLostKeepsWhatCame)
{
    open(1);
    add(1, 0, "so far");
    m_store->endHere(AttemptId{1});
    EXPECT_EQ(text(), "so far");
    add(1, 6, " and no further");
    EXPECT_EQ(text(), "so far");
}

TEST_F(HydraLogs, ModesAreThoseOfTheUmask)
{
    const mode_t before = ::umask(0027);
    open(1);
    run(1);
    rest();
    ::umask(before);
    struct stat file {};
    struct stat folder {};
    ASSERT_EQ(::stat(path().c_str(), &file), 0);
    ASSERT_EQ(::stat(path("/build-logs/00").c_str(), &folder), 0);
    EXPECT_EQ(file.st_mode & 0777U, 0640U);
    EXPECT_EQ(folder.st_mode & 0777U, 0750U);
}

TEST_F(HydraLogs, OpenFilesAreBoundedAndAllGoOn)
{
    const auto drv = [](std::uint64_t i) { return "00bgd045z0d4icpbc2yyz4gx48ak44la-p" + std::to_string(i) + ".drv"; };
    for (std::uint64_t i = 1; i <= 20; ++i) {
        open(i, drv(i));
        add(i, 0, "a");
    }
    for (std::uint64_t i = 1; i <= 20; ++i)
        add(i, 1, "b");
    for (std::uint64_t i = 1; i <= 20; ++i)
        EXPECT_EQ(text("/build-logs/00/" + drv(i).substr(2)), "ab");
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
        std::error_code error;
        const std::string file = std::filesystem::read_symlink(entry.path(), error).string();
        count += file.starts_with(path("/build-logs")) ? 1U : 0U;
    }
    EXPECT_LE(count, 2U);
}

TEST_F(HydraLogs, AFileThatSomebodyRemovedIsWrittenAnew)
{
    open(1);
    add(1, 0, "first ");
    rest();
    std::filesystem::remove(path());
    add(1, 6, "second");
    EXPECT_TRUE(settle(1, 12));
    EXPECT_EQ(text(), "first second");
}

// A disk that takes no more, as far as this file is concerned.
class SmallDisk {
public:
    explicit SmallDisk(rlim_t bytes)
    {
        m_signal = ::signal(SIGXFSZ, SIG_IGN);
        ::getrlimit(RLIMIT_FSIZE, &m_before);
        const rlimit small{bytes, m_before.rlim_max};
        ::setrlimit(RLIMIT_FSIZE, &small);
    }
    SmallDisk(const SmallDisk&) = delete;
    SmallDisk& operator=(const SmallDisk&) = delete;
    ~SmallDisk()
    {
        ::setrlimit(RLIMIT_FSIZE, &m_before);
        ::signal(SIGXFSZ, m_signal);
    }

private:
    rlimit m_before{};
    sighandler_t m_signal;
};

TEST_F(HydraLogs, AFullDiskIsToldOnceAndSeenInTheLog)
{
    const std::string lines(1'000, 'x');
    add(1, 0, lines); // in ours already
    rest();
    {
        const SmallDisk disk(500);
        open(1);
        for (int i = 0; i < 20; ++i) {
            m_clock.at += std::chrono::seconds(2);
            run(1);
        }
        EXPECT_TRUE(settle(1, 1'000)); // and the build's end is told all the same
    }
    EXPECT_EQ(m_logger.events["hydra.log_failed"], 1);
    EXPECT_EQ(m_logger.events["hydra.log_cut"], 1);
    const std::string got = text();
    EXPECT_NE(got.find("the log is cut here"), std::string::npos) << got;
}

TEST_F(HydraLogs, WhenThereIsRoomAgainTheFileIsWhole)
{
    const std::string lines(1'000, 'x');
    add(1, 0, lines);
    rest();
    {
        const SmallDisk disk(500);
        open(1);
        run(1);
        rest();
    }
    EXPECT_TRUE(settle(1, 1'000));
    EXPECT_EQ(text(), lines);
}

} // namespace
} // namespace penstock::hydra
