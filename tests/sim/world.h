// SPDX-License-Identifier: GPL-3.0-or-later
// World: simulated time, chance, the queue of things to come, and the trace of what happened. Everything in a
// run hangs on one World; equal seeds give equal traces. One thread.
#pragma once

#include "shared/base/clock.h"
#include "shared/base/loop.h"
#include "tests/sim/random.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace penstock::sim {

class World final : public Clock {
public:
    // The states of neighbouring seeds lie side by side, so one's numbers would be the other's: scattered
    // first.
    World(std::uint64_t seed, bool verbose) : random(Random(seed).next()), m_verbose(verbose) {}

    [[nodiscard]] Now now() const override
    {
        return {m_now, WallTime::fromMicros(1'700'000'000'000'000) + m_now.sinceStart};
    }
    // Ordered by time, then by the order of the calls. The result names it for cancel().
    std::pair<Instant, std::uint64_t> after(Duration delay, Task task);
    void cancel(std::pair<Instant, std::uint64_t> entry) { m_queue.erase(entry); }
    // Runs the next thing; false when there is none.
    bool step();

    // Into the trace, and onto the terminal when verbose.
    void note(std::string_view what, std::uint64_t a = 0, std::uint64_t b = 0);
    void reach(const std::string& path) { ++m_reached[path]; }
    // The first violation ends the run.
    void violate(std::string what);

    [[nodiscard]] std::uint64_t hash() const { return m_hash; }
    [[nodiscard]] std::uint64_t steps() const { return m_steps; }
    [[nodiscard]] const std::optional<std::string>& violation() const { return m_violation; }
    [[nodiscard]] const std::map<std::string, std::uint64_t>& reached() const { return m_reached; }

    Random random;

private:
    Instant m_now{std::chrono::hours(1)};
    std::map<std::pair<Instant, std::uint64_t>, Task> m_queue;
    std::uint64_t m_order = 0;
    std::uint64_t m_hash = 0xCBF29CE484222325U; // FNV-1a
    std::uint64_t m_steps = 0;
    std::map<std::string, std::uint64_t> m_reached;
    std::optional<std::string> m_violation;
    bool m_verbose;
};

} // namespace penstock::sim
