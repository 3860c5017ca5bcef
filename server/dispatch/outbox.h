// SPDX-License-Identifier: GPL-3.0-or-later
// Outbox: the one place that knows "stored before sent". Commands that depend on a batch wait here until the store
// has confirmed it; order is kept for each destination (a session, a request, the feed), so nothing overtakes
// what was said earlier to the same peer. Pure; one thread. What waits is bounded by the core, which takes no new
// work while too many batches are unconfirmed.
#pragma once

#include "server/core/command.h"

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

namespace penstock::dispatch {

class Outbox {
public:
    // Takes what apply() returned, except Persist, and gives back what may leave now, in order.
    [[nodiscard]] std::vector<core::Command> hold(std::vector<core::Command> commands);
    // Every batch up to and including sequence is durable: gives back what waited for it, in order.
    [[nodiscard]] std::vector<core::Command> confirm(std::uint64_t sequence);
    // Forgets what waits for a session that is gone.
    void dropSession(SessionId session);

    [[nodiscard]] std::size_t size() const { return m_held.size(); }
    [[nodiscard]] std::uint64_t confirmed() const { return m_confirmed; }

private:
    enum class Kind : std::uint8_t { Session, Request, Feed, Self };
    struct Destination {
        Kind kind;
        std::uint64_t id;
        friend auto operator<=>(const Destination&, const Destination&) = default;
    };
    struct Held {
        Destination destination;
        core::Command command;
    };
    [[nodiscard]] static Destination destinationOf(const core::Command& command);
    [[nodiscard]] static std::uint64_t waitsFor(const core::Command& command);

    std::uint64_t m_confirmed = 0;
    std::uint64_t m_nextOrder = 0;
    std::map<std::pair<std::uint64_t, std::uint64_t>, Held> m_held; // by (batch it waits for, order)
    std::map<Destination, std::pair<std::uint64_t, std::size_t>> m_last; // last batch waited for, and how many wait
};

} // namespace penstock::dispatch
