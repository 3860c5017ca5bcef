// SPDX-License-Identifier: GPL-3.0-or-later
// Session: one connection's handshake and heartbeat, for both roles; it decides, others send and receive. Pure:
// time comes in as Now. An object belongs to one thread and one connection.
//
//   state         event                        becomes
//   AwaitHello    onHello, range in common     AwaitWelcome   (server: now decide who this is)
//   AwaitWelcome  opened / onWelcome           Open           (server sends Welcome / builder got it)
//   Open          onTraffic                    Open           (the peer is alive)
//   any           close                        Closed
//   AwaitHello, AwaitWelcome: any other message is Invalid. Silence beyond the deadline: due() says Dead.
#pragma once

#include "shared/base/clock.h"
#include "shared/base/result.h"
#include "shared/protocol/link_values.h"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::protocol {

inline constexpr std::uint32_t kProtocolMin = 1;
inline constexpr std::uint32_t kProtocolMax = 1;
// How long a peer may take from the connection to the end of the handshake.
inline constexpr std::chrono::milliseconds kHandshakeTime{10'000};
inline constexpr std::chrono::milliseconds kMinHeartbeat{50};
inline constexpr std::chrono::milliseconds kMaxHeartbeat{600'000};
inline constexpr std::chrono::milliseconds kMaxDeadline{3'600'000};

// What one side speaks: a range, never an exact version, and names of behaviours beyond the first protocol.
struct Dialect {
    std::uint32_t protocolMin = kProtocolMin;
    std::uint32_t protocolMax = kProtocolMax;
    std::vector<std::string> features;
};
// A builder that says so fetches inputs from the server and brings outputs to it by the grant of each attempt
// (NixWork); without, its store is the server's.
inline constexpr std::string_view kGrantsFeature = "grants";
// This program's. No behaviour beyond protocol 1 exists yet, so its list of features is empty.
[[nodiscard]] Dialect ownDialect();

struct Agreement {
    std::uint32_t protocol = kProtocolMin;
    std::vector<std::string> features; // known to both, sorted
    friend bool operator==(const Agreement&, const Agreement&) = default;
};
// The largest protocol both speak. Conflict when there is none; the text says which side is to be upgraded.
[[nodiscard]] Result<Agreement> agree(const Dialect& server, const Dialect& builder);

struct HeartbeatTiming {
    std::chrono::milliseconds heartbeat{2'000}; // each side says something at least this often
    std::chrono::milliseconds deadline{6'000};  // longer silence ends the connection
};

enum class SessionState : std::uint8_t { AwaitHello, AwaitWelcome, Open, Closed };
enum class SessionDue : std::uint8_t { Nothing, SendHeartbeat, Dead };

class Session {
public:
    // The server's side, at the moment the connection is up.
    [[nodiscard]] static Session forServer(Dialect own, HeartbeatTiming timing, Now now);
    // The builder's side, at the moment its Hello leaves.
    [[nodiscard]] static Session forBuilder(Dialect own, Now now);

    // Server: the first message. Conflict: no protocol in common. Invalid: a second Hello.
    [[nodiscard]] Result<Agreement> onHello(const Hello& hello, Now now);
    // Server: the Welcome leaves.
    void opened(Now now);
    // Builder: takes over the server's timing. Invalid when it is not sensible or the protocol is not ours.
    [[nodiscard]] Result<void> onWelcome(const Welcome& welcome, Now now);
    // Any other message arrived. Invalid before the handshake is over.
    [[nodiscard]] Result<void> onTraffic(Now now);
    // Bytes arrived that are no message yet (a ping, part of a frame): the peer is alive.
    void onBytes(Now now);
    void close();

    // Call at nextDue() or later; SendHeartbeat is repeated until heartbeatSent.
    [[nodiscard]] SessionDue due(Now now) const;
    [[nodiscard]] Instant nextDue() const;
    // The heartbeat's number, from 1; the next one is due a heartbeat later.
    std::uint64_t heartbeatSent(Now now);

    [[nodiscard]] SessionState state() const { return m_state; }
    [[nodiscard]] const Agreement& agreement() const { return m_agreement; }
    [[nodiscard]] const HeartbeatTiming& timing() const { return m_timing; }

private:
    Session(SessionState state, Dialect own, HeartbeatTiming timing, Now now);
    [[nodiscard]] Instant deadline() const;

    SessionState m_state;
    Dialect m_own;
    HeartbeatTiming m_timing;
    Agreement m_agreement;
    Instant m_began;
    Instant m_heard;
    Instant m_beatDue;
    std::uint64_t m_sequence = 0;
};

} // namespace penstock::protocol
