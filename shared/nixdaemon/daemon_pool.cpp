// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nixdaemon/daemon_pool.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>

namespace penstock::nixdaemon {

DaemonPool::DaemonPool(std::string socketPath, PoolOptions options, FileDescriptor free)
    : m_socketPath(std::move(socketPath)),
      m_options(std::move(options)),
      m_free(std::move(free)),
      m_idle(m_options.maxConnections)
{}

Result<std::shared_ptr<DaemonPool>> DaemonPool::create(std::string socketPath, PoolOptions options)
{
    options.maxConnections = std::clamp<std::size_t>(options.maxConnections, 1, 1000);
    FileDescriptor free(
        ::eventfd(static_cast<unsigned>(options.maxConnections), EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE));
    if (!free.isOpen())
        return fail(ErrorCode::Internal, fmt::format("eventfd: {}", std::generic_category().message(errno)));
    return std::shared_ptr<DaemonPool>(
        new DaemonPool(std::move(socketPath), std::move(options), std::move(free)));
}

Result<void> DaemonPool::takeSlot(const Interrupt& interrupt) const
{
    for (;;) {
        if (interrupt.isRaised())
            return fail(ErrorCode::Cancelled, "cancelled while waiting for a connection to the nix-daemon");
        eventfd_t taken = 0;
        if (::eventfd_read(m_free.number(), &taken) == 0)
            return {};
        if (errno != EAGAIN && errno != EINTR)
            return fail(ErrorCode::Internal,
                        fmt::format("eventfd: {}", std::generic_category().message(errno)));
        std::array<pollfd, 2> waits{{{m_free.number(), POLLIN, 0}, {interrupt.pollable(), POLLIN, 0}}};
        if (::poll(waits.data(), waits.size(), -1) < 0 && errno != EINTR)
            return fail(ErrorCode::Internal, fmt::format("poll: {}", std::generic_category().message(errno)));
    }
}

void DaemonPool::freeSlot() const
{
    // Cannot fail: the counter is far below its limit.
    static_cast<void>(::eventfd_write(m_free.number(), 1));
}

Result<std::unique_ptr<DaemonConnection>> DaemonPool::connect(const Interrupt& interrupt) const
{
    DaemonOptions options = m_options.daemon;
    options.interrupt = interrupt;
    PENSTOCK_TRY(auto connection, DaemonConnection::open(m_socketPath, std::move(options)));
    PENSTOCK_TRY_VOID(connection->setOptions(m_options.settings));
    return connection;
}

Result<DaemonPool::Lease> DaemonPool::lease(const Interrupt& interrupt)
{
    PENSTOCK_TRY_VOID(takeSlot(interrupt));
    closeIdle();
    while (auto waiting = m_idle.take()) {
        if (!(*waiting)->isUsable())
            continue; // its daemon has ended; dropped
        (*waiting)->watch(interrupt);
        return Lease(*this, std::move(*waiting));
    }
    auto fresh = connect(interrupt);
    if (!fresh) {
        freeSlot();
        return fail(std::move(fresh.error()));
    }
    return Lease(*this, *std::move(fresh));
}

void DaemonPool::closeIdle()
{
    const auto old = m_idle.takeOlderThan(m_clock.now().mono + -m_options.idleTime);
}

void DaemonPool::giveBack(std::unique_ptr<DaemonConnection> connection)
{
    // After an error the daemon may have closed, which only a question tells: cheaper to open another.
    if (connection->isUsable() && !connection->hasFailed())
        connection = m_idle.put(std::move(connection), m_clock.now().mono).value_or(nullptr);
    connection.reset(); // before its slot is free, so that the bound holds
    freeSlot();
    closeIdle();
}

DaemonPool::Lease::~Lease()
{
    if (m_connection != nullptr)
        m_pool->giveBack(std::move(m_connection));
}

} // namespace penstock::nixdaemon
