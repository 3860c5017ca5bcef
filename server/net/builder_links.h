// SPDX-License-Identifier: GPL-3.0-or-later
// BuilderLinks: all connected builders. Bytes in, checked values out, and back; handshake, heartbeats and limits per
// connection. It decides nothing about work: who may join and what runs is told by LinkSink and by the calls below.
// Lives on the net loop; everything is called there.
#pragma once

#include "shared/base/clock.h"
#include "shared/base/ids.h"
#include "shared/base/log.h"
#include "shared/base/loop.h"
#include "shared/base/result.h"
#include "shared/protocol/link_values.h"
#include "shared/protocol/session.h"

#include <QObject>
#include <QTimer>
#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

class QWebSocket;

namespace penstock::net {

class BuilderLink;

struct LogAnswer {
    std::uint64_t offset = 0;
    bool stop = false;
};

// What the links tell. Called on the net loop; must not block.
struct LinkSink {
    virtual ~LinkSink() = default;
    virtual void connected(SessionId session, const protocol::Hello& hello, const std::string& credential) = 0;
    // Everything that one network message held, in order. Report, AttemptAnswer, AttemptResult, AttemptProgress,
    // Drain and MachineFacts only.
    // taken is called, on any thread, when they have left every queue.
    virtual void messages(SessionId session, std::vector<protocol::BuilderMessage> messages,
                          std::function<void()> taken) = 0;
    virtual void disconnected(SessionId session, const std::string& reason) = 0;
    // The answer may come on any thread.
    virtual void log(protocol::LogChunk chunk, std::function<void(Result<LogAnswer>)> answer) = 0;
};

struct LinkOptions {
    protocol::HeartbeatTiming timing;
    std::string serverName;
    std::string serverVersion;
    std::size_t maxLinks = 10'000;
    std::int64_t maxUnsentBytes = 64 << 20; // a builder slower than this is cut off
    std::size_t maxUntakenBytes = 64U << 20U; // one that talks faster than the core listens is cut off
    std::size_t maxLogAttempts = 20'000;    // whose logs one connection may write
};

struct LinkCounters {
    std::uint64_t accepted = 0;
    std::uint64_t malformed = 0;
    std::uint64_t unknownMessages = 0;
    std::uint64_t timeouts = 0;
    std::uint64_t foreignLogs = 0;
    std::array<std::uint64_t, 11> goodbyes{}; // by GoodbyeReason
};

class BuilderLinks final : public QObject {
    Q_OBJECT
public:
    BuilderLinks(Loop& loop, const Clock& clock, Logger& logger, LinkSink& sink, LinkOptions options);
    ~BuilderLinks() override;

    // Takes the socket of a peer that may be a builder. credential: a token's id, or "local".
    void adopt(QWebSocket* socket, std::string peer, std::string credential);
    void close(SessionId session, protocol::GoodbyeReason reason, const std::string& text);

    void sendWelcome(SessionId session, MachineId machine);
    void sendDesired(SessionId session, protocol::Desired desired);
    void sendStored(SessionId session, std::vector<AttemptId> attempts);
    // Says goodbye to everyone; sessions end as their sockets close.
    void closeAll(protocol::GoodbyeReason reason, const std::string& text);

    [[nodiscard]] const LinkCounters& counters() const { return m_counters; }
    [[nodiscard]] std::size_t size() const { return m_links.size(); }

private:
    friend class BuilderLink;
    void remove(SessionId session);
    void rememberLogs(MachineId machine, std::set<AttemptId> attempts);
    [[nodiscard]] std::set<AttemptId> takeLogs(MachineId machine);
    void tick();

    Loop& m_loop;
    const Clock& m_clock;
    Logger& m_logger;
    LinkSink& m_sink;
    const LinkOptions m_options;
    LinkCounters m_counters;
    std::uint64_t m_nextSession = 1;
    std::map<SessionId, std::unique_ptr<BuilderLink>> m_links;
    // Whose logs a machine may still deliver when it is back: the newest of its last connection. Its results may be
    // stored long before the last bytes of a log have come.
    std::map<MachineId, std::set<AttemptId>> m_departed;
    // Answers of the log store may outlive us; they check this first.
    std::shared_ptr<BuilderLinks*> m_self;
    QTimer m_timer;
};

} // namespace penstock::net
