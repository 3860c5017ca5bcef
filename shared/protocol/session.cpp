// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/protocol/session.h"

#include "shared/base/check.h"

#include <algorithm>
#include <fmt/format.h>

namespace penstock::protocol {

Dialect ownDialect()
{
    return {};
}

Result<Agreement> agree(const Dialect& server, const Dialect& builder)
{
    const std::uint32_t protocol = std::min(server.protocolMax, builder.protocolMax);
    if (protocol < std::max(server.protocolMin, builder.protocolMin)) {
        const std::string_view older = server.protocolMax < builder.protocolMin ? "server" : "builder";
        return fail(ErrorCode::Conflict,
                    fmt::format("no protocol version in common: the builder speaks {} to {}, the server {} to {}; "
                                "upgrade the {}",
                                builder.protocolMin, builder.protocolMax, server.protocolMin, server.protocolMax,
                                older));
    }
    Agreement result{protocol, {}};
    for (const std::string& feature : builder.features) {
        if (std::ranges::find(server.features, feature) != server.features.end())
            result.features.push_back(feature);
    }
    std::ranges::sort(result.features);
    result.features.erase(std::unique(result.features.begin(), result.features.end()), result.features.end());
    return result;
}

Session::Session(SessionState state, Dialect own, HeartbeatTiming timing, Now now)
    : m_state(state), m_own(std::move(own)), m_timing(timing), m_began(now.mono), m_heard(now.mono),
      m_beatDue(now.mono)
{
}

Session Session::forServer(Dialect own, HeartbeatTiming timing, Now now)
{
    return {SessionState::AwaitHello, std::move(own), timing, now};
}

Session Session::forBuilder(Dialect own, Now now)
{
    return {SessionState::AwaitWelcome, std::move(own), {}, now};
}

Result<Agreement> Session::onHello(const Hello& hello, Now now)
{
    if (m_state != SessionState::AwaitHello)
        return fail(ErrorCode::Invalid, "a second hello was sent; it is sent once, first");
    PENSTOCK_TRY(m_agreement, agree(m_own, {hello.protocolMin, hello.protocolMax, hello.features}));
    m_heard = now.mono;
    m_state = SessionState::AwaitWelcome;
    return m_agreement;
}

void Session::opened(Now now)
{
    PENSTOCK_CHECK(m_state == SessionState::AwaitWelcome);
    m_state = SessionState::Open;
    m_heard = now.mono;
    m_beatDue = now.mono + m_timing.heartbeat;
}

Result<void> Session::onWelcome(const Welcome& welcome, Now now)
{
    if (m_state != SessionState::AwaitWelcome)
        return fail(ErrorCode::Invalid, "a second welcome was sent; it is sent once, first");
    if (welcome.protocol < m_own.protocolMin || welcome.protocol > m_own.protocolMax)
        return fail(ErrorCode::Conflict,
                    fmt::format("the server chose protocol {}, this builder speaks {} to {}", welcome.protocol,
                                m_own.protocolMin, m_own.protocolMax));
    if (welcome.heartbeat < kMinHeartbeat || welcome.heartbeat > kMaxHeartbeat)
        return fail(ErrorCode::Invalid, fmt::format("welcome.heartbeat_ms is {}, must be {} to {}",
                                                    welcome.heartbeat.count(), kMinHeartbeat.count(),
                                                    kMaxHeartbeat.count()));
    if (welcome.deadline <= welcome.heartbeat || welcome.deadline > kMaxDeadline)
        return fail(ErrorCode::Invalid,
                    fmt::format("welcome.deadline_ms is {}, must be above the heartbeat of {} and at most {}",
                                welcome.deadline.count(), welcome.heartbeat.count(), kMaxDeadline.count()));
    m_timing = {welcome.heartbeat, welcome.deadline};
    m_agreement = {welcome.protocol, welcome.features};
    m_state = SessionState::Open;
    m_heard = now.mono;
    m_beatDue = now.mono; // the first report is due at once
    return {};
}

Result<void> Session::onTraffic(Now now)
{
    switch (m_state) {
    case SessionState::AwaitHello: return fail(ErrorCode::Invalid, "the first message must be a hello");
    case SessionState::AwaitWelcome:
        return fail(ErrorCode::Invalid, "a message arrived before the handshake was over");
    case SessionState::Open: m_heard = now.mono; return {};
    case SessionState::Closed: return fail(ErrorCode::Cancelled, "the session is closed");
    }
    return fail(ErrorCode::Internal, "session in an unknown state");
}

void Session::onBytes(Now now)
{
    if (m_state == SessionState::Open)
        m_heard = now.mono;
}

void Session::close()
{
    m_state = SessionState::Closed;
}

// The handshake has one deadline of its own, which bytes do not move: a peer may not keep it open by drops.
Instant Session::deadline() const
{
    return m_state == SessionState::Open ? m_heard + m_timing.deadline : m_began + kHandshakeTime;
}

SessionDue Session::due(Now now) const
{
    if (m_state == SessionState::Closed)
        return SessionDue::Nothing;
    if (now.mono > deadline())
        return SessionDue::Dead;
    if (m_state == SessionState::Open && now.mono >= m_beatDue)
        return SessionDue::SendHeartbeat;
    return SessionDue::Nothing;
}

Instant Session::nextDue() const
{
    const Instant dead = deadline() + Duration{1};
    return m_state == SessionState::Open ? std::min(m_beatDue, dead) : dead;
}

std::uint64_t Session::heartbeatSent(Now now)
{
    m_beatDue = now.mono + m_timing.heartbeat;
    return ++m_sequence;
}

} // namespace penstock::protocol
