// SPDX-License-Identifier: GPL-3.0-or-later
// Transport over a QWebSocket to ws://HOST:PORT/monitor. Messages above 16 MiB end the connection. A token
// travels as "Authorization: Bearer …". One thread with a Qt event loop.
#pragma once

#include "monitor-gui/stream/transport.h"

#include <memory>
#include <QByteArray>
#include <QObject>
#include <QUrl>
#include <QWebSocket>

namespace penstock::gui {

class WebSocketTransport final : public QObject, public Transport {
    Q_OBJECT
public:
    static constexpr quint64 kMaxMessageBytes = 16ULL * 1024 * 1024;

    WebSocketTransport(QUrl url, QByteArray token);
    ~WebSocketTransport() override;

    void open(TransportSink& sink) override;
    void send(const std::string& message) override;
    void abort() override;

private:
    void connectSignals(TransportSink& sink);
    void closed(TransportSink& sink, std::uint64_t generation);

    QUrl m_url;
    QByteArray m_token;
    // A new socket for each try: an aborted QWebSocket keeps late signals.
    std::unique_ptr<QWebSocket> m_socket;
    std::uint64_t m_generation = 0;
};

} // namespace penstock::gui
