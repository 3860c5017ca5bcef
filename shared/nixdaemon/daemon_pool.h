// SPDX-License-Identifier: GPL-3.0-or-later
// DaemonPool: a bounded number of connections to one nix-daemon, handed out as leases. Callable from any
// thread, from several at once; a lease belongs to one thread at a time. Connections that broke are dropped,
// those that wait longer than the idle time are closed at the next lease or return, or by closeIdle().
// Temporary roots die with a connection, so whoever must hold some opens a connection of its own.
//
// Failures of lease(): those of DaemonConnection::open, Cancelled while it waits for a free one. The pool
// outlives its leases. A thread that holds a lease and asks for another may wait for itself: keep the bound
// above that.
#pragma once

#include "shared/base/clock.h"
#include "shared/base/pool.h"
#include "shared/base/result.h"
#include "shared/nixdaemon/daemon_connection.h"
#include "shared/nixdaemon/unix_socket.h"

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

namespace penstock::nixdaemon {

struct PoolOptions {
    DaemonOptions daemon = {}; // its interrupt is not used: each lease has one
    ConnectionSettings settings = {};
    std::size_t maxConnections = 8; // a daemon has a process for each
    Duration idleTime = std::chrono::seconds(60);
};

class DaemonPool {
public:
    class Lease {
    public:
        ~Lease();
        Lease(Lease&& other) noexcept = default;
        Lease& operator=(Lease&&) = delete;
        DaemonConnection& operator*() const { return *m_connection; }
        DaemonConnection* operator->() const { return m_connection.get(); }

    private:
        friend class DaemonPool;
        Lease(DaemonPool& pool, std::unique_ptr<DaemonConnection> connection)
            : m_pool(&pool), m_connection(std::move(connection))
        {}
        DaemonPool* m_pool;
        std::unique_ptr<DaemonConnection> m_connection; // null: moved away
    };

    [[nodiscard]] static Result<std::shared_ptr<DaemonPool>> create(std::string socketPath,
                                                                    PoolOptions options);

    // Waits for a free one; the interrupt stops the waiting and every call on the lease.
    [[nodiscard]] Result<Lease> lease(const Interrupt& interrupt);
    void closeIdle();

    [[nodiscard]] const nix::StoreDir& storeDir() const { return m_options.daemon.storeDir; }

private:
    DaemonPool(std::string socketPath, PoolOptions options, FileDescriptor free);
    [[nodiscard]] Result<void> takeSlot(const Interrupt& interrupt) const;
    void freeSlot() const;
    [[nodiscard]] Result<std::unique_ptr<DaemonConnection>> connect(const Interrupt& interrupt) const;
    void giveBack(std::unique_ptr<DaemonConnection> connection);

    std::string m_socketPath;
    PoolOptions m_options;
    FileDescriptor m_free; // an eventfd that counts the connections which may still be handed out
    SystemClock m_clock;
    IdlePool<std::unique_ptr<DaemonConnection>> m_idle;
};

} // namespace penstock::nixdaemon
