// SPDX-License-Identifier: GPL-3.0-or-later
// Attempts with real processes: how they end, what is logged, what is left behind (nothing).
#include "builder/exec/attempt_host.h"

#include "builder/exec/command_executor.h"
#include "builder/exec/descendants.h"
#include "builder/spool/work_directory.h"
#include "shared/base/queue.h"
#include "shared/base/std_loop.h"
#include "shared/base/text.h"
#include "tests/unit/builder/attempt_farm.h"

#include <csignal>
#include <fmt/format.h>
#include <future>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace penstock::builder {
namespace {

using namespace std::chrono_literals;
using protocol::Outcome;
using protocol::Stream;

TEST(Attempt, KeepsTheStreamsApartAndReportsTheExitCode)
{
    Farm farm;
    const auto result = farm.run("echo out; echo err >&2; exit 7");
    EXPECT_EQ(result.outcome, Outcome::Failed);
    EXPECT_EQ(result.exitCode, 7);
    EXPECT_EQ(result.signal, 0);
    EXPECT_EQ(result.logBytes, 8U);
    EXPECT_LE(result.startedAt, result.stoppedAt);
    EXPECT_GT(result.maxRssBytes, 0U);
    EXPECT_EQ(farm.text(Stream::Out), "out\n");
    EXPECT_EQ(farm.text(Stream::Err), "err\n");
}

TEST(Attempt, RunsInACleanEnvironmentAndItsOwnDirectory)
{
    ::setenv("PENSTOCK_LEAK", "secret", 1);
    Farm farm;
    farm.start({"/bin/sh", "-c", "pwd; env; id -u >/dev/null; cat"}, {}, {{"K", "V"}, {"PENSTOCK_JOB_ID", "forged"}});
    EXPECT_EQ(farm.result().outcome, Outcome::Succeeded); // cat: standard input is empty
    const std::string out = farm.text(Stream::Out);
    const std::string folder = farm.directory().attemptsPath() + "/1";
    EXPECT_EQ(out.substr(0, folder.size() + 1), folder + "\n");
    for (const std::string& line :
         {std::string("K=V"), std::string("PENSTOCK_JOB_ID=77"), std::string("PENSTOCK_ATTEMPT=1"),
          std::string("PENSTOCK_MACHINE=wheel"), std::string("PENSTOCK_CPUS=3"), "HOME=" + folder,
          "TMPDIR=" + folder + ".tmp"})
        EXPECT_NE(out.find("\n" + line + "\n"), std::string::npos) << line << " in " << out;
    EXPECT_EQ(out.find("LEAK"), std::string::npos);
    EXPECT_EQ(out.find("forged"), std::string::npos);
}

TEST(Attempt, RemovesItsDirectoriesAndWhatIsInThem)
{
    Farm farm;
    farm.run("mkdir -p a/b; echo x >a/b/c; ln -s / root; chmod 000 a/b; touch $TMPDIR/t");
    farm.drainCleaner();
    EXPECT_TRUE(std::filesystem::is_empty(farm.directory().attemptsPath()));
    EXPECT_TRUE(std::filesystem::exists("/bin/sh"));
}

TEST(Attempt, ReportsTheSignalThatEndedIt)
{
    Farm farm;
    const auto result = farm.run("kill -SEGV $$");
    EXPECT_EQ(result.outcome, Outcome::Failed);
    EXPECT_EQ(result.signal, SIGSEGV);
}

TEST(Attempt, EndsLikeAShellWhenTheProgramCannotBeRun)
{
    Farm farm;
    farm.start({"penstock-no-such-program"});
    const auto missing = farm.result();
    EXPECT_EQ(missing.outcome, Outcome::Failed);
    EXPECT_EQ(missing.exitCode, 127);
    EXPECT_NE(missing.error.find("penstock-no-such-program"), std::string::npos);
    EXPECT_NE(farm.text(Stream::System).find("not found"), std::string::npos);
    farm.start({"/etc/passwd"});
    EXPECT_EQ(farm.result().exitCode, 126);
}

TEST(Attempt, PassesAnyBytesThrough)
{
    Farm farm;
    farm.run(R"(printf '\000\377\200\n\001')");
    EXPECT_EQ(farm.text(Stream::Out), std::string("\0\377\200\n\001", 5));
}

TEST(Attempt, TimesOutAndKillsWhoIgnoresSigterm)
{
    Farm farm;
    protocol::Limits limits;
    limits.timeout = 100ms;
    limits.killGrace = 100ms;
    const auto result = farm.run("trap '' TERM; while :; do sleep 0.05; done", limits);
    EXPECT_EQ(result.outcome, Outcome::TimedOut);
    EXPECT_EQ(result.signal, SIGKILL);
    EXPECT_NE(result.error.find("0.1 s"), std::string::npos) << result.error;
    EXPECT_NE(farm.text(Stream::System).find("timed out"), std::string::npos);
    EXPECT_EQ(farm.leftovers(), 0U);
}

TEST(Attempt, IsGivenTimeToEndPolitely)
{
    Farm farm;
    farm.startShell("trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.01; done");
    farm.awaitOutput("ready");
    farm.stop(1, false);
    const auto result = farm.result();
    EXPECT_EQ(result.outcome, Outcome::Cancelled);
    EXPECT_EQ(result.exitCode, 3);
    EXPECT_EQ(farm.text(Stream::Out), "ready\nbye\n");
    EXPECT_NE(farm.text(Stream::System).find("cancelled by a test"), std::string::npos);
}

TEST(Attempt, EndsAfterSilence)
{
    Farm farm;
    protocol::Limits limits;
    limits.silentTimeout = 150ms;
    const auto result = farm.run("for i in 1 2 3 4 5 6; do echo $i; sleep 0.05; done; sleep 100", limits);
    EXPECT_EQ(result.outcome, Outcome::SilentTimedOut);
    EXPECT_EQ(farm.text(Stream::Out), "1\n2\n3\n4\n5\n6\n");
}

TEST(Attempt, EndsAtTheLogLimitWithTheCutMarked)
{
    Farm farm;
    protocol::Limits limits;
    limits.maxLogBytes = 1000;
    limits.killGrace = 100ms;
    const auto result = farm.run("yes", limits);
    EXPECT_EQ(result.outcome, Outcome::LogLimit);
    EXPECT_TRUE(result.logTruncated);
    EXPECT_EQ(farm.text(Stream::Out).size(), 1000U);
    EXPECT_NE(farm.text(Stream::System).find("1000 bytes"), std::string::npos);
}

TEST(Attempt, TakesExactlyTheLogLimitWithoutComplaint)
{
    Farm farm;
    protocol::Limits limits;
    limits.maxLogBytes = 5;
    const auto result = farm.run("printf 12345", limits);
    EXPECT_EQ(result.outcome, Outcome::Succeeded);
    EXPECT_FALSE(result.logTruncated);
}

TEST(Attempt, DoesNotWaitForADaemonThatKeepsTheOutputOpen)
{
    Farm farm;
    const auto result = farm.run("(setsid sleep 1000 &) ; echo started");
    EXPECT_EQ(result.outcome, Outcome::Succeeded);
    EXPECT_LT(result.stoppedAt - result.startedAt, 5s);
    EXPECT_EQ(farm.text(Stream::Out), "started\n");
    EXPECT_EQ(farm.leftovers(), 0U);
}

bool endsWithin(pid_t pid, std::chrono::milliseconds limit)
{
    const int descriptor = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
    if (descriptor < 0)
        return errno == ESRCH;
    pollfd ended{descriptor, POLLIN, 0};
    const bool gone = ::poll(&ended, 1, static_cast<int>(limit.count())) == 1;
    ::close(descriptor);
    return gone;
}

TEST(Attempt, KillsADaemonThatHidInASessionOfItsOwnWithoutEnvironment)
{
    Farm farm;
    farm.run("cd /; env -i setsid sh -c 'sleep 1000 & sleep 1001' >/dev/null 2>&1 & sleep 0.2; echo $!");
    const std::string text = farm.text(Stream::Out);
    const auto hidden = static_cast<pid_t>(parseSigned(trim(text)).value());
    // It is ended at once, but seen as gone only when the kernel has come round to it.
    EXPECT_TRUE(endsWithin(hidden, 10s));
}

TEST(Attempt, KeepsWhatADescendantWritesShortlyAfterTheMainProcess)
{
    Farm farm;
    farm.run("(sleep 0.05; echo late) & exit 0");
    EXPECT_EQ(farm.text(Stream::Out), "late\n");
}

TEST(Attempt, IsKilledWithAllItsProcesses)
{
    Farm farm;
    farm.startShell("sleep 1000 & (setsid sleep 1000 &); echo ready; sleep 1000");
    farm.awaitOutput("ready");
    farm.stop(1, true);
    EXPECT_EQ(farm.result().signal, SIGKILL);
    EXPECT_EQ(farm.leftovers(), 0U);
}

TEST(Attempt, WaitsWhenTheServerDoesNotTakeItsLogAndGoesOnLater)
{
    Farm farm(false);
    constexpr std::uint64_t kBytes = kMaxBacklogBytes + (8U << 20U);
    farm.startShell(fmt::format("head -c {} /dev/zero; echo end >&2", kBytes));
    // With nothing confirmed the job must stand still a little above the bound: it cannot reach its end.
    std::uint64_t size = 0;
    while (size < kMaxBacklogBytes) {
        std::error_code error;
        size = std::filesystem::file_size(farm.directory().logsPath() + "/1.log", error);
        size = error ? 0 : size;
    }
    farm.onLoop([] {});
    EXPECT_LT(size, kBytes);
    std::optional<protocol::AttemptResult> none;
    farm.onLoop([&] { farm.host().logStored({AttemptId(1), 40U << 20U, false}); });
    const auto result = farm.result();
    EXPECT_EQ(result.outcome, Outcome::Succeeded);
    EXPECT_EQ(result.logBytes, kBytes + 4);
}

TEST(Attempt, RunsManyOneAfterTheOther)
{
    Farm farm;
    for (int round = 0; round < 20; ++round) {
        for (int i = 0; i < 10; ++i)
            farm.start({"true"});
        for (int i = 0; i < 10; ++i)
            EXPECT_EQ(farm.result().outcome, Outcome::Succeeded);
    }
}

TEST(AttemptHost, DeliversALogAgainAfterALostLinkAndForgetsItWhenStored)
{
    Farm farm(false);
    farm.run("printf hello");
    const std::string log = farm.directory().logsPath() + "/1.log";
    EXPECT_TRUE(std::filesystem::exists(log));
    farm.onLoop([&] {
        farm.host().linkDown();
        farm.host().forget(AttemptId(1), false); // its result is stored, the log is not
    });
    EXPECT_TRUE(std::filesystem::exists(log));
    farm.onLoop([&] {
        farm.host().linkUp();
        farm.host().logStored({AttemptId(1), 3, false});
    });
    EXPECT_TRUE(std::filesystem::exists(log));
    farm.onLoop([&] { farm.host().logStored({AttemptId(1), 5, false}); });
    EXPECT_FALSE(std::filesystem::exists(log));
    EXPECT_EQ(farm.text(Stream::Out), "hello");
}

} // namespace
} // namespace penstock::builder
