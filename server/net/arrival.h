// SPDX-License-Identifier: GPL-3.0-or-later
// Arrival: a connection between accept and the moment it is known what it is. Looks at the head without taking it,
// so that whoever gets the socket reads the request from its first byte. Lives on the listener's loop; ends itself.
#pragma once

#include "server/http/request_head.h"
#include "server/net/listener.h"

#include <QObject>
#include <QTcpSocket>
#include <QTimer>
#include <QWebSocketServer>

namespace penstock::net {

// What arrivals share; outlives them all.
struct ArrivalEnvironment {
    auth::Authenticator& authenticator;
    ConnectionSink& sink;
    Logger& logger;
    ListenerOptions options;
    ListenerCounters counters;
    std::uint64_t unidentified = 0;
};

class Arrival final : public QObject {
    Q_OBJECT
public:
    // Takes the socket over. wait: TLS comes first.
    Arrival(QTcpSocket* socket, auth::PeerAddress peer, ArrivalEnvironment& environment, QObject* parent);
    ~Arrival() override;

    void start(); // bytes may come (again) from now on

private:
    void onReadyRead();
    void onHead(http::RequestHead head);
    void toHttp();
    void identify(const std::string& path, const std::string& bearer);
    void toWebSocket(PeerInfo peer);
    void refuse(unsigned status, std::string_view reason);
    void onTimeout();

    QTcpSocket* m_socket; // a child of this until it is passed on
    auth::PeerAddress m_peer;
    ArrivalEnvironment& m_environment;
    QTimer m_deadline;
    QWebSocketServer* m_upgrade = nullptr;
    bool m_decided = false;
    std::size_t m_thrownAway = 0; // after a refusal
};

} // namespace penstock::net
