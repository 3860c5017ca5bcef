// SPDX-License-Identifier: GPL-3.0-or-later
// BuilderLink: one builder's connection on the net loop. Owned by BuilderLinks, which removes it when it has closed.
#pragma once

#include "server/net/builder_links.h"
#include "shared/protocol/frame.h"

#include <QByteArray>
#include <optional>
#include <set>

namespace penstock::net {

class BuilderLink final : public QObject, private protocol::FrameSink {
    Q_OBJECT
public:
    BuilderLink(BuilderLinks& links, SessionId session, QWebSocket* socket, std::string peer,
                std::string credential);
    ~BuilderLink() override;

    void close(protocol::GoodbyeReason reason, const std::string& text);
    void welcome(MachineId machine);
    void send(const protocol::ServerMessage& message);
    // The builder may write the logs of these.
    void allowLogs(const protocol::Desired& desired);
    void tick(Now now);

private:
    void onFrame(ByteView payload) override;
    void received(const QByteArray& bytes);
    void gone();
    void handle(protocol::BuilderMessage message);
    void hello(const protocol::Hello& hello);
    void storeLog(protocol::LogChunk chunk);
    void handOn(std::size_t bytes);
    void protocolError(const std::string& text);
    void oversize(const Error& error); // a message of ours is above the frame limit
    void flush();

    BuilderLinks& m_links;
    const SessionId m_session;
    QWebSocket* const m_socket; // owned by this QObject
    const std::string m_peer;
    const std::string m_credential;
    protocol::FrameDecoder m_decoder;
    protocol::Session m_state;
    bool m_announced = false; // the sink knows of us
    bool m_closing = false;
    Instant m_abortAt;        // when closing takes longer
    std::string m_closeText;
    std::vector<protocol::BuilderMessage> m_batch;
    std::size_t m_untaken = 0; // bytes of messages handed on that wait for the core
    std::string m_out;
    bool m_flushPosted = false;
    std::set<AttemptId> m_logs;
    std::optional<MachineId> m_machine; // once welcomed
};

} // namespace penstock::net
