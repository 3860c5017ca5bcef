// SPDX-License-Identifier: GPL-3.0-or-later
// Headroom: how many cpus a machine really has left, although its reports lag. What was started a moment ago shows in
// no load yet: it is counted by what it asked for, times what an asked-for cpu has turned out to use on this farm, and
// fades out as reports begin to show it. Without any experience a cpu is expected to use several, so that the first
// batch does not bury a machine. Integers, in thousandths of a cpu. One thread.
#pragma once

#include "shared/base/clock.h"
#include "shared/protocol/link_values.h"

#include <array>
#include <cstdint>

namespace penstock::sched {

// What was started lately, in bins of one second.
class FreshStarts {
public:
    void add(Instant at, std::uint32_t cpus);
    void remove(Instant startedAt, std::uint32_t cpus, Instant now); // it has ended
    // Not yet visible in a report of now: each start counts whole at first, and nothing after the settle time.
    [[nodiscard]] std::uint64_t milliCpus(Instant now, Duration settle) const;

private:
    static constexpr std::int64_t kBins = 64; // settle times of up to a minute
    struct Bin {
        std::int64_t second = -1;
        std::uint64_t cpus = 0;
    };
    [[nodiscard]] static std::int64_t secondOf(Instant at);
    std::array<Bin, kBins> m_bins{};
};

// What an asked-for cpu really uses, over the whole farm.
class CpuUse {
public:
    // A report of a machine on which nothing was started lately.
    void observe(std::uint64_t busyMilliCpus, std::uint64_t askedCpus);
    [[nodiscard]] std::uint64_t perMille() const { return m_perMille; } // 1000: as asked

private:
    std::uint64_t m_perMille = 3'000;
    std::uint64_t m_weight = 0;
};

[[nodiscard]] std::uint64_t busyMilliCpus(const protocol::LoadSample& load, std::uint32_t cores);

// How many cpus may still be started on a machine whose load or pressure counts: what is idle now and not yet spoken
// for, rounded to the nearest.
[[nodiscard]] std::uint32_t burst(std::uint64_t busyMilliCpus, std::uint64_t freshMilliCpus, std::uint32_t cores,
                                  std::uint64_t usePerMille);

} // namespace penstock::sched
