// SPDX-License-Identifier: GPL-3.0-or-later
// NixExecutor: runs derivations through the machine's nix-daemon, each on a thread and with a connection of
// its own. No more build at a time than there are slots, unless the server goes beyond those; while their
// inputs and outputs travel they hold none, so there are up to twice as many threads. The threads tell the
// exec loop, where everything else happens. Stopping an attempt closes its connection, whereupon the daemon
// kills the build at once, so a grace is not needed. The loop and the clock outlive the executor; every
// Running ends before it. The destructor joins the threads.
#pragma once

#include "builder/exec/executor.h"
#include "builder/exec/nix_attempt.h"
#include "shared/base/clock.h"
#include "shared/base/loop.h"
#include "shared/base/queue.h"

#include <memory>
#include <optional>
#include <thread>
#include <vector>

namespace penstock::builder {

inline constexpr unsigned kMaxNixThreads = 4096;

struct NixExecutorOptions {
    NixMachine machine;
    unsigned slots = 1; // builds at a time; more wait, and above a bound they end as Infrastructure
};

class NixExecutor final : public Executor {
public:
    NixExecutor(Loop& loop, NixExecutorOptions options, const Clock& clock);
    ~NixExecutor() override;
    NixExecutor(const NixExecutor&) = delete;
    NixExecutor& operator=(const NixExecutor&) = delete;

    [[nodiscard]] std::string_view name() const override { return "nix"; }
    [[nodiscard]] std::unique_ptr<Running> start(const AttemptSpec& spec, AttemptSink& sink) override;

private:
    struct Job {
        protocol::Assignment assignment;
        NixAttemptLinks links;
        std::function<void(AttemptExit)> end;
    };

    void addThread();
    void tryToGrow();
    [[nodiscard]] std::optional<Credits> slotsFor(const protocol::Assignment& assignment) const;
    void runJobs();

    Loop& m_loop;
    NixMachine m_machine;
    unsigned m_slots;
    Result<Credits> m_buildSlots;
    const Clock& m_clock;
    BoundedQueue<Job> m_jobs;
    std::shared_ptr<unsigned> m_busy = std::make_shared<unsigned>(0); // attempts not ended; on the loop only
    std::vector<std::thread> m_threads;                               // last: they use everything above
};

} // namespace penstock::builder
