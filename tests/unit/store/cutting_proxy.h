// SPDX-License-Identifier: GPL-3.0-or-later
// CuttingProxy: stands between a store and its PostgreSQL on a Unix socket of its own, and breaks the connection just
// when a commit has been carried out but its confirmation has not reached the client. A thread of its own.
#pragma once

#include "tests/support/postgres_fixture.h"

#include <atomic>
#include <string>
#include <thread>

namespace penstock::store {

class CuttingProxy {
public:
    // target: the socket's file of the real server.
    explicit CuttingProxy(std::filesystem::path target);
    ~CuttingProxy();
    CuttingProxy(const CuttingProxy&) = delete;
    CuttingProxy& operator=(const CuttingProxy&) = delete;

    [[nodiscard]] std::string directory() const { return m_directory.path().string(); } // for host=
    void cutNextCommit() { m_cutsLeft = 1; }
    [[nodiscard]] int cuts() const { return m_cuts; }

private:
    void run();
    void serve(int client);

    test::TemporaryDirectory m_directory;
    std::filesystem::path m_target;
    int m_listener;
    int m_stop; // an eventfd
    std::atomic<int> m_cutsLeft{0};
    std::atomic<int> m_cuts{0};
    std::thread m_thread;
};

} // namespace penstock::store
