// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nixdaemon/unix_socket.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <limits>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace penstock::nixdaemon {
namespace {

constexpr std::size_t kPendingLimit = 16U << 20U;
constexpr int kRetryConnectMs = 20;

std::string describe(int error)
{
    return std::generic_category().message(error);
}

tl::unexpected<Error> lost(std::string_view why)
{
    return fail(ErrorCode::Unavailable, fmt::format("the connection to the nix-daemon is lost: {}", why));
}

// -1 when there is no deadline, else milliseconds, rounded up.
int pollTimeout(std::optional<Instant> deadline)
{
    if (!deadline)
        return -1;
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(*deadline - SystemClock().now().mono).count();
    return static_cast<int>(std::clamp<std::int64_t>(left, 0, std::numeric_limits<int>::max()));
}

struct Address {
    sockaddr_un raw{};
    FileDescriptor directory; // kept open until connected, when the path is too long
};

// sun_path holds 107 bytes; a longer path is reached through its opened directory.
Result<Address> addressOf(const std::string& path)
{
    Address address;
    address.raw.sun_family = AF_UNIX;
    std::string usable = path;
    if (path.size() >= sizeof(address.raw.sun_path)) {
        const std::size_t slash = path.rfind('/');
        const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash);
        address.directory = FileDescriptor(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
        if (!address.directory.isOpen())
            return fail(
                ErrorCode::Unavailable,
                fmt::format("cannot open {} to reach the nix-daemon's socket: {}", folder, describe(errno)));
        usable = fmt::format("/proc/self/fd/{}/{}", address.directory.number(), path.substr(slash + 1));
    }
    if (usable.empty() || usable.size() >= sizeof(address.raw.sun_path) ||
        usable.find('\0') != std::string::npos)
        return fail(ErrorCode::Invalid,
                    fmt::format("the nix-daemon's socket \"{}\" is no usable path: its last part may "
                                "have at most {} bytes",
                                path, sizeof(address.raw.sun_path) - 32));
    std::copy(usable.begin(), usable.end(), address.raw.sun_path);
    return address;
}

Result<void> sleepUnlessRaised(const Interrupt& interrupt, Instant deadline)
{
    const int timeout = pollTimeout(deadline);
    if (timeout == 0)
        return fail(ErrorCode::Timeout, "the nix-daemon accepts no connection in time; is it overloaded?");
    pollfd wait{interrupt.pollable(), POLLIN, 0};
    if (::poll(&wait, 1, std::min(timeout, kRetryConnectMs)) < 0 && errno != EINTR)
        return fail(ErrorCode::Internal, fmt::format("poll: {}", describe(errno)));
    return {};
}

} // namespace

FileDescriptor::~FileDescriptor()
{
    if (m_number >= 0)
        ::close(m_number);
}
FileDescriptor::FileDescriptor(FileDescriptor&& other) noexcept : m_number(std::exchange(other.m_number, -1))
{}
FileDescriptor& FileDescriptor::operator=(FileDescriptor&& other) noexcept
{
    std::swap(m_number, other.m_number);
    return *this;
}

Result<Interrupt> Interrupt::create()
{
    FileDescriptor event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!event.isOpen())
        return fail(ErrorCode::Internal, fmt::format("eventfd: {}", describe(errno)));
    return Interrupt(std::move(event));
}

void Interrupt::raise() const
{
    // Only a full counter makes this fail, and then it is raised already.
    static_cast<void>(::eventfd_write(m_event->number(), 1));
}

bool Interrupt::isRaised() const
{
    pollfd wait{m_event->number(), POLLIN, 0};
    return ::poll(&wait, 1, 0) == 1;
}

Result<std::unique_ptr<UnixSocket>> UnixSocket::connect(const std::string& path, Interrupt interrupt,
                                                        Instant deadline)
{
    PENSTOCK_TRY(const Address address, addressOf(path));
    FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket.isOpen())
        return fail(ErrorCode::Internal, fmt::format("socket: {}", describe(errno)));
    for (;;) {
        if (interrupt.isRaised())
            return fail(ErrorCode::Cancelled, "cancelled while connecting to the nix-daemon");
        const auto* raw = reinterpret_cast<const sockaddr*>(&address.raw);
        if (::connect(socket.number(), raw, sizeof(address.raw)) == 0)
            break;
        const int error = errno;
        if (error == EAGAIN || error == EINTR) { // the listener's queue is full
            PENSTOCK_TRY_VOID(sleepUnlessRaised(interrupt, deadline));
            continue;
        }
        const ErrorCode code = error == EACCES || error == EPERM ? ErrorCode::Denied : ErrorCode::Unavailable;
        return fail(code, fmt::format("cannot connect to the nix-daemon at {}: {}; does it run?", path,
                                      describe(error)));
    }
    return std::unique_ptr<UnixSocket>(new UnixSocket(std::move(socket), std::move(interrupt), deadline));
}

Result<short> UnixSocket::waitFor(short events)
{
    if (!m_socket.isOpen())
        return lost("it was closed on our side");
    for (;;) {
        std::array<pollfd, 2> waits{{{m_socket.number(), events, 0}, {m_interrupt.pollable(), POLLIN, 0}}};
        const int ready = ::poll(waits.data(), waits.size(), pollTimeout(m_deadline));
        if (ready < 0 && errno != EINTR)
            return fail(ErrorCode::Internal, fmt::format("poll: {}", describe(errno)));
        if (waits[1].revents != 0)
            return fail(ErrorCode::Cancelled, "cancelled");
        if (ready == 0)
            return fail(ErrorCode::Timeout, "the nix-daemon did not answer in time");
        if (ready > 0 && waits[0].revents != 0)
            return waits[0].revents;
    }
}

Result<std::size_t> UnixSocket::read(std::span<char> into)
{
    if (!m_pending.empty()) {
        const std::size_t part = std::min(into.size(), m_pending.size());
        std::copy_n(m_pending.begin(), part, into.begin());
        m_pending.erase(0, part);
        return part;
    }
    for (;;) {
        PENSTOCK_TRY_VOID(waitFor(POLLIN));
        const ssize_t size = ::recv(m_socket.number(), into.data(), into.size(), 0);
        if (size > 0)
            return static_cast<std::size_t>(size);
        if (size == 0)
            return lost("it closed the connection");
        if (errno != EAGAIN && errno != EINTR)
            return lost(describe(errno));
    }
}

Result<void> UnixSocket::takeIn()
{
    std::array<char, 16384> part{};
    const ssize_t size = ::recv(m_socket.number(), part.data(), part.size(), 0);
    if (size > 0)
        m_pending.append(part.data(), static_cast<std::size_t>(size));
    else if (size == 0)
        return lost("it closed the connection");
    else if (errno != EAGAIN && errno != EINTR)
        return lost(describe(errno));
    return {};
}

bool UnixSocket::isQuiet() const
{
    pollfd wait{m_socket.number(), POLLIN, 0};
    return m_pending.empty() && ::poll(&wait, 1, 0) == 0;
}

Result<void> UnixSocket::write(std::string_view bytes)
{
    while (!bytes.empty()) {
        PENSTOCK_TRY(const short ready, waitFor(POLLOUT | POLLIN));
        if ((ready & POLLIN) != 0)
            PENSTOCK_TRY_VOID(takeIn());
        if (m_pending.size() > kPendingLimit)
            return fail(ErrorCode::Corrupt,
                        fmt::format("the nix-daemon sent more than {} bytes and takes no request meanwhile",
                                    kPendingLimit));
        const ssize_t size = ::send(m_socket.number(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (size > 0)
            bytes.remove_prefix(static_cast<std::size_t>(size));
        else if (size < 0 && errno != EAGAIN && errno != EINTR)
            return lost(describe(errno));
    }
    return {};
}

} // namespace penstock::nixdaemon
