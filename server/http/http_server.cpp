// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/http/http_server.h"

#include "server/http/application.h"
#include "server/http/connection.h"

#include <QObject>
#include <QTcpSocket>
#include <QTimer>

#include <utility>

namespace penstock::http {

class HttpServer::Impl final : public QObject {
public:
    Impl(const HttpParts& parts, HttpOptions options)
        : m_options(std::move(options)),
          m_application(parts.clock, parts.authenticator, parts.gateway, parts.desk, parts.hydra),
          m_senders(m_options.senders),
          m_environment{m_application, m_options, parts.clock, parts.loop, m_senders}
    {
        m_application.setConnectionMetrics([this] { return metrics(); });
        connect(&m_sweep, &QTimer::timeout, this, &Impl::checkDeadlines);
        m_sweep.start(std::chrono::milliseconds(500));
    }

    ~Impl() override
    {
        // Their last words ("disconnected") come while the connections are taken down; nobody listens any more.
        for (auto* connection : connections())
            delete connection;
    }

    void accept(QTcpSocket* socket, auth::PeerAddress peer)
    {
        if (connections().size() >= static_cast<qsizetype>(m_options.maxConnections)) {
            ++m_overLimit;
            const auto bytes = renderReply(problem(503, "too many connections are open; try again later"), true, false);
            socket->setParent(this);
            socket->write(bytes.data(), static_cast<qint64>(bytes.size()));
            connect(socket, &QTcpSocket::disconnected, socket, &QObject::deleteLater);
            socket->disconnectFromHost();
            return;
        }
        ++m_accepted;
        auto* connection = new Connection(socket, std::move(peer), m_environment);
        connection->setParent(this);
        connection->start();
    }

    void stop()
    {
        for (auto* connection : connections())
            connection->stop();
    }

private:
    [[nodiscard]] QList<Connection*> connections() const
    {
        return findChildren<Connection*>(QString(), Qt::FindDirectChildrenOnly);
    }

    void checkDeadlines()
    {
        const auto now = m_environment.clock.now().mono;
        for (auto* connection : connections())
            connection->checkDeadline(now);
    }

    std::vector<MetricFamily> metrics() const
    {
        return {
            gauge("penstock_http_connections", "Open HTTP connections", static_cast<double>(connections().size())),
            counter("penstock_http_connections_total", "HTTP connections taken", static_cast<double>(m_accepted)),
            counter("penstock_http_connections_refused_total", "HTTP connections refused because too many were open",
                    static_cast<double>(m_overLimit)),
        };
    }

    const HttpOptions m_options;
    Application m_application;
    transfer::WorkerPool m_senders;
    const ConnectionEnvironment m_environment;
    QTimer m_sweep;
    std::uint64_t m_accepted = 0;
    std::uint64_t m_overLimit = 0;
};

HttpServer::HttpServer(HttpParts parts, HttpOptions options)
    : m_impl(std::make_unique<Impl>(parts, std::move(options)))
{
}

HttpServer::~HttpServer() = default;

void HttpServer::accept(QTcpSocket* socket, auth::PeerAddress peer)
{
    m_impl->accept(socket, std::move(peer));
}

void HttpServer::stop()
{
    m_impl->stop();
}

} // namespace penstock::http
