// SPDX-License-Identifier: GPL-3.0-or-later
// The state of the connection to a server, the sentence that names it for people, and the back-off between
// tries. Pure values, callable from any thread.
#pragma once

#include "shared/base/clock.h"

#include <cstdint>
#include <optional>
#include <string>

namespace penstock::gui {

enum class LinkPhase : std::uint8_t {
    Idle,       // nothing asked for yet
    Connecting, // a socket is being opened or the first message awaited
    Open,       // messages come
    Waiting,    // lost; another try at retryAt
    Refused,    // the server said no; tried again rarely
};

struct LinkStatus {
    LinkPhase phase = LinkPhase::Idle;
    std::uint32_t attempt = 0; // tries since the last success
    std::optional<Instant> retryAt;
    std::string reason; // why it waits or is refused
    std::string serverName;
    std::string serverVersion;
    Duration period{std::chrono::seconds(1)};        // of farm deltas
    Duration machinePeriod{std::chrono::seconds(5)}; // of each machine's report
    std::optional<Duration> roundTrip;
    friend bool operator==(const LinkStatus&, const LinkStatus&) = default;
};

enum class ChipKind : std::uint8_t { Idle, Connecting, Live, Lagging, Stale, Reconnecting, Refused };

struct Chip {
    ChipKind kind = ChipKind::Idle;
    std::string text; // "Live", "Reconnecting in 3 s", "Refused: wrong token"
    friend bool operator==(const Chip&, const Chip&) = default;
};

// lastFarmMessage: when the last snapshot or delta came, which is what the screen shows.
[[nodiscard]] Chip chipOf(const LinkStatus& status, std::optional<Instant> lastFarmMessage, Now now);

// True when what is on the screen may not be taken for the present.
[[nodiscard]] bool isOutdated(ChipKind kind);

struct BackOff {
    Duration first = std::chrono::milliseconds(250);
    Duration longest = std::chrono::seconds(15);
    double jitter = 0.25; // of the delay, both ways

    // attempt counts from 1; random is in [0, 1).
    [[nodiscard]] Duration delay(std::uint32_t attempt, double random) const;
};

// "850 ms", "42 s", "3 min 12 s", "2 h 05 min", "4 d 3 h".
[[nodiscard]] std::string formatAge(Duration age);

} // namespace penstock::gui
