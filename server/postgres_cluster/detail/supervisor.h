// SPDX-License-Identifier: GPL-3.0-or-later
// Supervisor: runs the postmaster as a child of a thread of its own (so that it is told when we die), reads what it
// prints, starts it again with back-off when it ends by itself, and stops it. Made and destroyed by Cluster.
#pragma once

#include "server/postgres_cluster/detail/child_process.h"
#include "server/postgres_cluster/detail/directory.h"
#include "server/postgres_cluster/detail/server_log.h"
#include "shared/base/log.h"

#include <chrono>
#include <functional>
#include <future>
#include <thread>

namespace penstock::postgres_cluster {

struct SupervisorOptions {
    Program program;
    Layout layout;
    std::chrono::seconds startLimit;
    std::chrono::seconds stopLimit;
    std::function<void(Result<void>)> onHealth;
};

class Supervisor {
public:
    // Blocks until the first postmaster accepts connections, or fails.
    [[nodiscard]] static Result<std::unique_ptr<Supervisor>> start(SupervisorOptions options, Logger& logger);
    ~Supervisor();
    Supervisor(const Supervisor&) = delete;
    Supervisor& operator=(const Supervisor&) = delete;

    void stop(); // blocks until it has stopped

private:
    using Deadline = std::chrono::steady_clock::time_point;
    enum class Turn { Ended, StopWanted, TimedOut };

    Supervisor(SupervisorOptions options, Logger& logger, FileDescriptor wake);
    void run(std::promise<Result<void>> started);
    // Starts it and waits until it accepts connections.
    [[nodiscard]] Result<void> bringUp(Child& child);
    void bringDown(const Child& child);
    [[nodiscard]] Turn waitUntil(const Child& child, Deadline deadline);
    [[nodiscard]] bool sleepUntil(Deadline deadline); // false: stop wanted
    [[nodiscard]] Error ended(const Child& child);
    void tell(Result<void> health);

    SupervisorOptions m_options;
    Logger& m_logger;
    ServerLog m_log;
    FileDescriptor m_wake; // an eventfd: readable when stop is wanted
    bool m_isHealthy = false;
    std::thread m_thread;
};

} // namespace penstock::postgres_cluster
