// SPDX-License-Identifier: GPL-3.0-or-later
// UnixSocket: a blocking Transport over a Unix stream socket that another thread can cancel at any moment,
// also while it connects. Used by one thread at a time but for cancel(). Failures: Unavailable (nobody
// listens, the peer is gone), Denied (no permission), Cancelled, Timeout (only until setDeadline is lifted),
// Internal.
#pragma once

#include "shared/base/clock.h"
#include "shared/base/result.h"
#include "shared/nixdaemon/wire.h"

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace penstock::nixdaemon {

// A file descriptor, closed at the end.
class FileDescriptor {
public:
    explicit FileDescriptor(int number = -1) : m_number(number) {}
    ~FileDescriptor();
    FileDescriptor(FileDescriptor&& other) noexcept;
    FileDescriptor& operator=(FileDescriptor&& other) noexcept;
    FileDescriptor(const FileDescriptor&) = delete;
    FileDescriptor& operator=(const FileDescriptor&) = delete;

    [[nodiscard]] int number() const { return m_number; }
    [[nodiscard]] bool isOpen() const { return m_number >= 0; }

private:
    int m_number;
};

// A wish to stop that wakes a thread out of its poll. Copies share it; raise() once, from any thread, holds
// for ever.
class Interrupt {
public:
    [[nodiscard]] static Result<Interrupt> create();

    void raise() const;
    [[nodiscard]] bool isRaised() const;
    // Readable once raised.
    [[nodiscard]] int pollable() const { return m_event->number(); }

private:
    explicit Interrupt(FileDescriptor event)
        : m_event(std::make_shared<const FileDescriptor>(std::move(event)))
    {}
    std::shared_ptr<const FileDescriptor> m_event;
};

class UnixSocket final : public Transport {
public:
    // Waits until there is room in the listener's queue, at most up to the deadline.
    [[nodiscard]] static Result<std::unique_ptr<UnixSocket>> connect(const std::string& path,
                                                                     Interrupt interrupt, Instant deadline);

    // Calls that would last longer fail with Timeout; none: they may last for ever.
    void setDeadline(std::optional<Instant> deadline) { m_deadline = deadline; }

    [[nodiscard]] Result<std::size_t> read(std::span<char> into) override;
    // Takes in what the peer sends meanwhile, so that the two never wait for each other; Corrupt when that is
    // more than a peer can have to say which takes nothing itself.
    [[nodiscard]] Result<void> write(std::string_view bytes) override;
    void cancel() override { m_interrupt.raise(); }
    void close() override { m_socket = FileDescriptor(); }
    [[nodiscard]] bool hasArrived() const override { return !m_pending.empty(); }

    // From now on this one stops the calls. Not while a call or cancel() runs.
    void watch(Interrupt interrupt) { m_interrupt = std::move(interrupt); }
    // Nothing was sent to us and the peer is there: how a connection between two requests must look.
    [[nodiscard]] bool isQuiet() const;

private:
    UnixSocket(FileDescriptor socket, Interrupt interrupt, Instant deadline)
        : m_socket(std::move(socket)), m_interrupt(std::move(interrupt)), m_deadline(deadline)
    {}
    [[nodiscard]] Result<short> waitFor(short events);
    [[nodiscard]] Result<void> takeIn();

    FileDescriptor m_socket;
    Interrupt m_interrupt;
    std::optional<Instant> m_deadline;
    std::string m_pending; // received during write()
};

} // namespace penstock::nixdaemon
