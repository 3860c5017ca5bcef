// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/net/listener.h"

#include "server/net/acceptor.h"
#include "server/net/arrival.h"
#include "server/net/tls_settings.h"

#include <fmt/format.h>
#include <QHostAddress>
#include <QSslSocket>

#include <map>
#include <unistd.h>
#include <utility>

namespace penstock::net {
namespace {

auth::PeerAddress describe(const QTcpSocket& socket, bool unixSocket, bool encrypted)
{
    auth::PeerAddress peer;
    peer.encrypted = encrypted;
    if (unixSocket) {
        peer.text = peer.host = "unix";
        peer.local = true;
        return peer;
    }
    QHostAddress address = socket.peerAddress();
    bool isFour = false;
    if (const auto four = address.toIPv4Address(&isFour); isFour)
        address = QHostAddress(four); // ::ffff:127.0.0.1 counts as 127.0.0.1
    peer.host = address.toString().toStdString();
    peer.text = isFour ? fmt::format("{}:{}", peer.host, socket.peerPort())
                       : fmt::format("[{}]:{}", peer.host, socket.peerPort());
    peer.local = address.isLoopback();
    return peer;
}

} // namespace

class Listener::Impl final : public QObject {
public:
    Impl(auth::Authenticator& authenticator, ConnectionSink& sink, Logger& logger, ListenerOptions options)
        : m_environment{authenticator, sink, logger, std::move(options), {}, 0}
    {}

    ~Impl() override
    {
        close();
        // Before the environment they count in.
        for (auto* arrival : findChildren<Arrival*>())
            delete arrival;
    }

    Result<void> listen(const ListenAddress& address)
    {
        PENSTOCK_TRY_VOID(reloadTls());
        switch (address.kind) {
        case ListenAddress::Kind::Tcp: return listenTcp(address);
        case ListenAddress::Kind::Unix: return listenUnix(address);
        case ListenAddress::Kind::Systemd: break;
        }
        return fail(ErrorCode::Invalid, "listen: \"systemd\" stands for sockets that were not looked up");
    }

    Result<void> reloadTls()
    {
        if (const auto& files = m_environment.options.tls; !files.certificate.empty() || !files.key.empty()) {
            PENSTOCK_TRY(auto settings, loadTls(files));
            m_tls = std::move(settings);
        }
        return {};
    }

    void close()
    {
        if (m_tcp)
            m_tcp->close();
        if (m_unix)
            m_unix->close();
    }

    [[nodiscard]] const ListenAddress& bound() const { return m_bound; }
    [[nodiscard]] ListenerCounters counters() const
    {
        auto counters = m_environment.counters;
        counters.connections = m_open;
        return counters;
    }

private:
    Result<void> listenTcp(const ListenAddress& address)
    {
        QHostAddress host;
        if (address.host == "localhost")
            host = QHostAddress::LocalHost;
        else if (!host.setAddress(QString::fromStdString(address.host)))
            return fail(ErrorCode::Invalid, fmt::format("listen: {} is no numeric address; write one such as "
                                                        "127.0.0.1 or [::]",
                                                        address.host));
        m_tcp =
            std::make_unique<TcpAcceptor>([this](qintptr descriptor) { take(descriptor, false); }, nullptr);
        const bool listens = address.descriptor >= 0 ? m_tcp->setSocketDescriptor(address.descriptor)
                                                     : m_tcp->listen(host, address.port);
        if (!listens)
            return fail(
                ErrorCode::Unavailable,
                fmt::format("listen: cannot listen on {}: {}; stop what uses it or choose another port",
                            address.print(), m_tcp->errorString().toStdString()));
        m_bound = address;
        m_bound.host = m_tcp->serverAddress().toString().toStdString();
        m_bound.port = m_tcp->serverPort();
        return {};
    }

    Result<void> listenUnix(const ListenAddress& address)
    {
        m_unix =
            std::make_unique<UnixAcceptor>([this](qintptr descriptor) { take(descriptor, true); }, nullptr);
        if (address.descriptor >= 0)
            m_unix->adopt(address.descriptor);
        else
            PENSTOCK_TRY_VOID(m_unix->listen(address.path));
        m_bound = address;
        return {};
    }

    void take(qintptr descriptor, bool unixSocket)
    {
        const auto& options = m_environment.options;
        const bool encrypted = m_tls.has_value() && !unixSocket;
        auto* socket = encrypted ? new QSslSocket(this) : new QTcpSocket(this);
        if (!socket->setSocketDescriptor(descriptor)) {
            ::close(static_cast<int>(descriptor));
            delete socket;
            return;
        }
        auto peer = describe(*socket, unixSocket, encrypted);
        // Unix peers are all one host; the limit per host is not for them.
        const bool tooMany = m_open >= options.maxConnections ||
                             m_environment.unidentified >= options.maxUnidentified ||
                             (!unixSocket && openOf(peer.host) >= options.maxPerHost);
        if (tooMany) {
            ++m_environment.counters.overLimit;
            m_environment.logger.warning("net.over_limit", {{"peer", peer.text}, {"open", m_open}});
            socket->abort();
            delete socket;
            return;
        }
        count(socket, peer.host);
        auto* arrival = new Arrival(socket, std::move(peer), m_environment, this);
        if (encrypted)
            startTls(static_cast<QSslSocket*>(socket), arrival);
        else
            arrival->start();
    }

    [[nodiscard]] std::uint32_t openOf(const std::string& host) const
    {
        const auto found = m_perHost.find(host);
        return found == m_perHost.end() ? 0 : found->second;
    }

    void count(QTcpSocket* socket, const std::string& host)
    {
        ++m_environment.counters.accepted;
        ++m_open;
        ++m_perHost[host];
        // A child, as QWebSocket disconnects every signal of its socket before it deletes it.
        auto* counted = new QObject(socket);
        connect(counted, &QObject::destroyed, this, [this, host] {
            --m_open;
            if (const auto found = m_perHost.find(host); found != m_perHost.end() && --found->second == 0)
                m_perHost.erase(found);
        });
    }

    void startTls(QSslSocket* socket, Arrival* arrival)
    {
        socket->setSslConfiguration(*m_tls);
        connect(socket, &QSslSocket::encrypted, arrival, [arrival] { arrival->start(); });
        connect(socket, &QAbstractSocket::errorOccurred, arrival, [this, socket] {
            if (!socket->isEncrypted()) {
                ++m_environment.counters.malformed;
                socket->abort();
            }
        });
        socket->startServerEncryption();
    }

    ArrivalEnvironment m_environment;
    std::optional<QSslConfiguration> m_tls;
    std::unique_ptr<TcpAcceptor> m_tcp;
    std::unique_ptr<UnixAcceptor> m_unix;
    ListenAddress m_bound;
    std::uint64_t m_open = 0;
    std::map<std::string, std::uint32_t> m_perHost; // at most one entry per open connection
};

Listener::Listener(auth::Authenticator& authenticator, ConnectionSink& sink, Logger& logger,
                   ListenerOptions options)
    : m_impl(std::make_unique<Impl>(authenticator, sink, logger, std::move(options)))
{}

Listener::~Listener() = default;

Result<void> Listener::listen(const ListenAddress& address)
{
    return m_impl->listen(address);
}

std::string Listener::boundAddress() const
{
    return m_impl->bound().print();
}

std::uint16_t Listener::port() const
{
    return m_impl->bound().port;
}

Result<void> Listener::reloadTls()
{
    return m_impl->reloadTls();
}

void Listener::close()
{
    m_impl->close();
}

ListenerCounters Listener::counters() const
{
    return m_impl->counters();
}

} // namespace penstock::net
