// SPDX-License-Identifier: GPL-3.0-or-later
// Question: how many `true` a second does a builder run, folder, environment, journal and clean-up included, without
// a server? Sizes: 5,000 attempts on 1, 2 and 4 slots. Budget: half of what bench/spawn_floor says for bare spawning.
// The growth with the number of attempts must be linear.
#include "builder/exec/attempt_host.h"
#include "builder/exec/command_executor.h"
#include "builder/exec/descendants.h"
#include "builder/spool/work_directory.h"
#include "shared/base/queue.h"
#include "shared/base/std_loop.h"

#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <future>

namespace {

using namespace penstock;
using namespace penstock::builder;

struct SilentLogger final : Logger {
    void log(LogLevel, std::string_view, std::initializer_list<LogField>) override {}
};

// On the exec loop: keeps the slots full until all attempts have ended.
struct Feeder {
    AttemptHost* host = nullptr;
    std::uint64_t next = 1;
    std::uint64_t left = 0;
    std::promise<void> done;

    void startOne()
    {
        protocol::Assignment assignment;
        assignment.attempt = AttemptId(next);
        assignment.step = StepId(next);
        assignment.job = JobId(next++);
        assignment.work = protocol::CommandWork{{"true"}, {}};
        host->start(std::move(assignment));
    }
};

double measure(const std::string& path, std::uint64_t attempts, unsigned slots)
{
    auto directory = WorkDirectory::open(path);
    auto journal = Journal::open(directory->journalPath(), "bench");
    SilentLogger logger;
    StdLoop cleaner("cleaner");
    ExecLoop loop("exec");
    Feeder feeder;
    feeder.left = attempts;
    std::unique_ptr<AttemptHost> host;
    const Instant begin = SystemClock{}.now().mono;
    loop.post([&] {
        const HostEvents events{[&](const protocol::AttemptResult& result) {
                                    loop.post([&, attempt = result.attempt] {
                                        host->forget(attempt, false);
                                        if (feeder.next <= attempts)
                                            feeder.startOne();
                                        if (--feeder.left == 0)
                                            feeder.done.set_value();
                                    });
                                },
                                [](const protocol::AttemptProgress&) {}, [](const protocol::LogChunk&) {}, [](bool) {}};
        host = std::make_unique<AttemptHost>(
            loop, cleaner, *std::move(journal), logger,
            HostSettings{"bench", directory->attemptsPath(), directory->logsPath()}, events);
        host->addExecutor(std::make_unique<CommandExecutor>(loop));
        host->linkUp();
        feeder.host = host.get();
        for (unsigned i = 0; i < slots; ++i)
            feeder.startOne();
    });
    feeder.done.get_future().wait();
    const Duration took = SystemClock{}.now().mono - begin;
    std::promise<void> gone;
    loop.post([&] {
        host.reset();
        gone.set_value();
    });
    gone.get_future().wait();
    return static_cast<double>(attempts) / (static_cast<double>(took.count()) / 1e6);
}

constexpr std::uint64_t kAttempts = 5000;

} // namespace

int main()
{
    becomeSubreaper();
    std::string pattern = (std::filesystem::temp_directory_path() / "penstock-bench-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr)
        return 1;
    for (const unsigned slots : {1U, 2U, 4U})
        fmt::print("spawn_bench slots={} attempts={} per_second={:.0f}\n", slots, kAttempts,
                   measure(pattern, kAttempts, slots));
    std::error_code error;
    std::filesystem::remove_all(pattern, error);
    return 0;
}
