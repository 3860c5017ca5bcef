// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/net/acceptor.h"

#include <fmt/format.h>
#include <QTimer>

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <utility>

namespace penstock::net {
namespace {

constexpr std::chrono::milliseconds kRetryAccept{500};
constexpr int kAcceptsPerTurn = 64; // so that one burst does not hold up the loop
constexpr int kBacklog = 1'024;

sockaddr_un addressOf(const std::string& path)
{
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
    return address;
}

bool somebodyListens(const sockaddr_un& address)
{
    const int probe = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0)
        return false;
    const int refused = ::connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
    const bool listens = refused == 0 || errno == EAGAIN;
    ::close(probe);
    return listens;
}

} // namespace

TcpAcceptor::TcpAcceptor(OnDescriptor onDescriptor, QObject* parent)
    : QTcpServer(parent), m_onDescriptor(std::move(onDescriptor))
{
    setListenBacklogSize(kBacklog);
    // Out of descriptors: Qt stops accepting and leaves it to us to go on.
    connect(this, &QTcpServer::acceptError, this,
            [this] { QTimer::singleShot(kRetryAccept, this, [this] { resumeAccepting(); }); });
}

void TcpAcceptor::incomingConnection(qintptr descriptor)
{
    m_onDescriptor(descriptor);
}

UnixAcceptor::UnixAcceptor(OnDescriptor onDescriptor, QObject* parent)
    : QObject(parent), m_onDescriptor(std::move(onDescriptor))
{}

UnixAcceptor::~UnixAcceptor()
{
    close();
}

Result<void> UnixAcceptor::listen(const std::string& path)
{
    const auto address = addressOf(path);
    struct stat found {};
    if (::lstat(path.c_str(), &found) == 0) {
        if (!S_ISSOCK(found.st_mode))
            return fail(ErrorCode::Invalid,
                        fmt::format("listen: {} exists and is no socket; choose another path", path));
        if (somebodyListens(address))
            return fail(ErrorCode::Unavailable,
                        fmt::format("listen: another process listens on {}; stop it or choose "
                                    "another path",
                                    path));
        ::unlink(path.c_str());
    }
    m_descriptor = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (m_descriptor < 0 ||
        ::bind(m_descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
        ::listen(m_descriptor, kBacklog) != 0) {
        const int reason = errno;
        close();
        return fail(ErrorCode::Unavailable,
                    fmt::format("listen: cannot listen on {}: {}", path, std::strerror(reason)));
    }
    m_path = path;
    watch();
    return {};
}

void UnixAcceptor::adopt(int descriptor)
{
    m_descriptor = descriptor;
    // Ours waits for readiness; a connection that is gone again by then must not hold up the loop.
    (void)::fcntl(descriptor, F_SETFL, ::fcntl(descriptor, F_GETFL) | O_NONBLOCK);
    watch();
}

void UnixAcceptor::watch()
{
    m_notifier = std::make_unique<QSocketNotifier>(m_descriptor, QSocketNotifier::Read);
    connect(m_notifier.get(), &QSocketNotifier::activated, this, &UnixAcceptor::onReadable);
}

void UnixAcceptor::close()
{
    m_notifier.reset();
    if (m_descriptor >= 0)
        ::close(std::exchange(m_descriptor, -1));
    if (!m_path.empty())
        ::unlink(std::exchange(m_path, {}).c_str());
}

void UnixAcceptor::onReadable()
{
    for (int count = 0; count < kAcceptsPerTurn; ++count) {
        const int accepted = ::accept4(m_descriptor, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (accepted >= 0) {
            m_onDescriptor(accepted);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            m_notifier->setEnabled(false);
            QTimer::singleShot(kRetryAccept, this, [this] {
                if (m_notifier)
                    m_notifier->setEnabled(true);
            });
        }
        return;
    }
}

} // namespace penstock::net
