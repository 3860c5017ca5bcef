// SPDX-License-Identifier: GPL-3.0-or-later
// The simulation's only source of chance: SplitMix64 over a seed, so that a seed is a whole run.
#pragma once

#include "shared/base/clock.h"

#include <cstdint>

namespace penstock::sim {

class Random {
public:
    explicit Random(std::uint64_t seed) : m_state(seed * 0x9E3779B97F4A7C15U + 0x1234567U) {}

    [[nodiscard]] std::uint64_t next()
    {
        m_state += 0x9E3779B97F4A7C15U;
        std::uint64_t value = m_state;
        value = (value ^ (value >> 30U)) * 0xBF58476D1CE4E5B9U;
        value = (value ^ (value >> 27U)) * 0x94D049BB133111EBU;
        return value ^ (value >> 31U);
    }
    // From low to high, both included.
    [[nodiscard]] std::uint64_t between(std::uint64_t low, std::uint64_t high)
    {
        return low + next() % (high - low + 1);
    }
    [[nodiscard]] bool chance(std::uint64_t percent) { return next() % 100 < percent; }
    [[nodiscard]] Duration duration(Duration low, Duration high)
    {
        return Duration(static_cast<std::int64_t>(
            between(static_cast<std::uint64_t>(low.count()), static_cast<std::uint64_t>(high.count()))));
    }

private:
    std::uint64_t m_state;
};

} // namespace penstock::sim
