// SPDX-License-Identifier: GPL-3.0-or-later
// Wire: one simulated TCP connection between a builder (end 0) and the server (end 1): ordered, delayed bytes
// that can be cut (both sides hear of it) or go dead (nobody hears of anything: half-open). One thread.
#pragma once

#include "tests/sim/world.h"

#include <array>
#include <functional>
#include <memory>
#include <string>

namespace penstock::sim {

struct WireEnd {
    std::function<void(const std::string&)> bytes;
    std::function<void()> closed;
};

class Wire : public std::enable_shared_from_this<Wire> {
public:
    Wire(World& world, Duration latency) : m_world(world), m_latency(latency) {}

    void attach(std::size_t end, WireEnd handlers) { m_ends.at(end) = std::move(handlers); }
    void send(std::size_t from, std::string bytes);
    // This end is done: hears nothing more; the other hears of it, unless the wire is dead.
    void close(std::size_t from);
    void die() { m_isDead = true; }
    [[nodiscard]] bool isOpen(std::size_t end) const { return m_isOpen.at(end); }

private:
    void deliver(std::size_t to, Task task);

    World& m_world;
    Duration m_latency;
    std::array<WireEnd, 2> m_ends;
    std::array<bool, 2> m_isOpen{true, true};
    std::array<Instant, 2> m_last{};
    bool m_isDead = false;
};

} // namespace penstock::sim
