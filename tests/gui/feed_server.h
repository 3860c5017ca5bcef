// SPDX-License-Identifier: GPL-3.0-or-later
// A small WebSocket server for tests of the monitor stream: it answers as told, falls silent, ends and comes
// back.
#pragma once

#include "proto/monitor.pb.h"
#include "shared/protocol/frame.h"

#include <memory>
#include <QObject>
#include <QPointer>
#include <QUrl>
#include <QWebSocket>
#include <QWebSocketServer>
#include <string>
#include <vector>

namespace penstock::gui::test {

class FeedServer final : public QObject, private protocol::FrameSink {
    Q_OBJECT
public:
    FeedServer() { listen(0); }
    ~FeedServer() override { stop(); }

    [[nodiscard]] QUrl url() const { return QUrl(QStringLiteral("ws://127.0.0.1:%1/monitor").arg(m_port)); }

    void listen(quint16 port)
    {
        m_server =
            std::make_unique<QWebSocketServer>(QStringLiteral("test"), QWebSocketServer::NonSecureMode);
        connect(m_server.get(), &QWebSocketServer::newConnection, this, &FeedServer::accept);
        if (!m_server->listen(QHostAddress::LocalHost, port))
            qFatal("cannot listen");
        m_port = m_server->serverPort();
    }
    void comeBack() { listen(m_port); }
    // Ends like a killed process: the sockets close, nobody says goodbye.
    void stop()
    {
        drop();
        m_server.reset();
    }
    void drop()
    {
        if (m_client)
            m_client->abort();
        m_client = nullptr;
    }

    void send(monitor::FeedMessage message)
    {
        message.set_server_time_us(1'700'000'000'000'000U + ++m_sent);
        std::string frame;
        protocol::appendFrame(frame, message.SerializeAsString());
        sendBytes(frame);
    }
    void sendBytes(const std::string& bytes)
    {
        if (m_client)
            m_client->sendBinaryMessage(QByteArray(bytes.data(), static_cast<qsizetype>(bytes.size())));
    }
    void sendDelta(std::uint64_t deltaNumber)
    {
        monitor::FeedMessage message;
        message.mutable_delta()->set_watch(watches.empty() ? 0 : watches.back().watch());
        message.mutable_delta()->set_number(deltaNumber);
        send(std::move(message));
    }

    bool silent = false;
    std::vector<monitor::ExplainRequest> questions; // why, asked so far; answered by the test
    std::uint64_t number = 10;               // of snapshots
    std::vector<monitor::WatchFarm> watches; // asked so far
    std::vector<monitor::ClientHello> hellos;
    int pings = 0;
    QByteArray authorization; // header of the last connection

private:
    void accept()
    {
        while (m_server->hasPendingConnections()) {
            drop();
            m_client = m_server->nextPendingConnection();
            authorization = m_client->request().rawHeader("Authorization");
            connect(m_client, &QWebSocket::binaryMessageReceived, this, [this](const QByteArray& bytes) {
                protocol::FrameDecoder().push(
                    bytesOf({bytes.constData(), static_cast<std::size_t>(bytes.size())}), *this);
            });
            connect(m_client, &QWebSocket::disconnected, m_client, &QObject::deleteLater);
        }
    }
    void onFrame(ByteView payload) override
    {
        monitor::ClientMessage question;
        if (!question.ParseFromArray(payload.data(), static_cast<int>(payload.size())))
            return;
        monitor::FeedMessage reply;
        if (question.has_hello()) {
            hellos.push_back(question.hello());
            reply.mutable_hello()->set_protocol(1);
            reply.mutable_hello()->set_server_name("test farm");
            reply.mutable_hello()->set_period_ms(1000);
        } else if (question.has_watch_farm()) {
            watches.push_back(question.watch_farm());
            monitor::FarmSnapshot& snapshot = *reply.mutable_snapshot();
            snapshot.set_watch(question.watch_farm().watch());
            snapshot.set_stream("s");
            snapshot.set_resumed(question.watch_farm().resume_stream() == "s");
            snapshot.set_number(snapshot.resumed() ? question.watch_farm().resume_after() : number);
        } else if (question.has_explain()) {
            questions.push_back(question.explain());
            return;
        } else if (question.has_ping()) {
            ++pings;
            reply.mutable_pong()->set_sequence(question.ping().sequence());
        } else {
            return;
        }
        if (!silent)
            send(std::move(reply));
    }

    std::unique_ptr<QWebSocketServer> m_server;
    QPointer<QWebSocket> m_client;
    quint16 m_port = 0;
    std::uint64_t m_sent = 0;
};

} // namespace penstock::gui::test
