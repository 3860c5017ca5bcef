// SPDX-License-Identifier: GPL-3.0-or-later
// Time as data. Instant is monotonic time in microseconds, WallTime is UTC in microseconds since 1970; Now
// carries both, stamped once per batch of events. Only a Clock may produce them; pure code takes a Now.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>

namespace penstock {

using Duration = std::chrono::microseconds;

struct Instant {
    Duration sinceStart{0}; // since an arbitrary origin of this process
    friend constexpr auto operator<=>(Instant, Instant) = default;
    friend constexpr Instant operator+(Instant at, Duration by) { return {at.sinceStart + by}; }
    friend constexpr Duration operator-(Instant a, Instant b) { return a.sinceStart - b.sinceStart; }
};

struct WallTime {
    Duration sinceEpoch{0}; // UTC, 1970-01-01
    friend constexpr auto operator<=>(WallTime, WallTime) = default;
    friend constexpr WallTime operator+(WallTime at, Duration by) { return {at.sinceEpoch + by}; }
    friend constexpr Duration operator-(WallTime a, WallTime b) { return a.sinceEpoch - b.sinceEpoch; }
    [[nodiscard]] constexpr std::int64_t micros() const { return sinceEpoch.count(); }
    [[nodiscard]] static constexpr WallTime fromMicros(std::int64_t us) { return {Duration{us}}; }
};

struct Now {
    Instant mono;
    WallTime wall;
};

struct Clock {
    virtual ~Clock() = default;
    [[nodiscard]] virtual Now now() const = 0;
};

// The machine's clocks (steady and system). Callable from any thread.
struct SystemClock final : Clock {
    [[nodiscard]] Now now() const override;
};

} // namespace penstock
