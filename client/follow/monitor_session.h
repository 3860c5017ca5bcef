// SPDX-License-Identifier: GPL-3.0-or-later
// A WebSocket to the server's /monitor path that comes back by itself: reconnects with growing pauses,
// answers for a silent link, and gives up after a set time. What is being watched is the listener's to ask
// for again in onReady. One thread, that of the event loop; the listener must outlive the session.
#pragma once

#include "client/api/endpoint.h"
#include "proto/monitor.pb.h"
#include "shared/base/clock.h"
#include "shared/base/result.h"
#include "shared/protocol/frame.h"

#include <memory>
#include <optional>
#include <QTimer>
#include <string>

class QWebSocket;

namespace penstock::client {

struct SessionListener {
    virtual ~SessionListener() = default;
    // The link stands and hello was sent; ask for everything now. Called again after each reconnect.
    virtual void onReady(bool again) = 0;
    virtual void onMessage(const monitor::FeedMessage& message) = 0;
    // For people: lost, trying again, back.
    virtual void onLinkNotice(const std::string& text) = 0;
    // Nothing more will come: refused for good, or away for too long.
    virtual void onGaveUp(const Error& error) = 0;
};

struct SessionSettings {
    Endpoint endpoint;
    std::string token;
    Duration giveUpAfter{0}; // of being without a link
};

// Pause before the attempt of that number (1 is the first after a loss): 100 ms doubling to 5 s.
[[nodiscard]] Duration reconnectPause(unsigned attempt);

class MonitorSession final : private protocol::FrameSink {
public:
    MonitorSession(SessionSettings settings, SessionListener& listener);
    ~MonitorSession() override;
    MonitorSession(const MonitorSession&) = delete;
    MonitorSession& operator=(const MonitorSession&) = delete;

    void open();
    // Go on trying even though no first connection could be made, since the server is known to be there.
    void setPatient() { m_patient = true; }
    [[nodiscard]] bool ready() const { return m_ready; }
    // Dropped without a link: onReady comes when there is one again.
    void send(const monitor::ClientMessage& message);
    // Bytes handed over and not yet on the network: uploads wait while it is large.
    [[nodiscard]] std::int64_t unsent() const;
    // Called when some of them have gone.
    void onSent(std::function<void()> callback) { m_onSent = std::move(callback); }

private:
    void onFrame(ByteView payload) override;
    void connectSocket();
    void onConnected();
    void onBytes(const QByteArray& bytes);
    void onLost(const std::string& reason);
    void onTick();
    void giveUp(Error error);
    void write(const std::string& payload);

    SessionSettings m_settings;
    SessionListener& m_listener;
    std::unique_ptr<QWebSocket> m_socket;
    protocol::FrameDecoder m_decoder;
    QTimer m_retry;
    QTimer m_tick;
    bool m_ready = false;
    bool m_everReady = false;
    bool m_over = false;
    bool m_patient = false;
    unsigned m_attempt = 0;
    std::uint64_t m_pings = 0;
    Instant m_lastHeard;
    std::optional<Instant> m_lostSince;
    std::string m_goodbye; // the server's last words
    std::function<void()> m_onSent;
};

} // namespace penstock::client
