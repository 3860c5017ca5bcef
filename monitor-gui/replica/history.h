// SPDX-License-Identifier: GPL-3.0-or-later
// What the charts show: samples of the farm over time, on the server's clock. Pure, one owner, any thread.
// Bounded: one sample a second for the last five minutes, one each ten seconds for the hour before. Coarse
// samples keep the highest value of their ten seconds (and the highest median), so a short spike stays
// visible.
#pragma once

#include "monitor-gui/replica/farm_replica.h"

#include <cstddef>
#include <deque>
#include <vector>

namespace penstock::gui {

// Of one metric over all machines that report it.
struct Spread {
    double median = 0;
    double highest = 0;
    double gate = 0; // of the median machine that has a gate; 0: none has
};

struct FarmSample {
    WallTime at;
    double running = 0;
    double ready = 0; // with those that wait for a retry time
    double blocked = 0;
    double slotsUsed = 0;
    double slotsTotal = 0;
    double machinesConnected = 0;
    std::uint64_t finishedOk = 0; // counters since the server started
    std::uint64_t finishedFailed = 0;
    Spread load; // load1 per core
    Spread cpuSome;
    Spread memoryFull;
    Spread ioFull;
    bool hasPressure = false;
};

[[nodiscard]] FarmSample sampleOf(const FarmReplica& farm, WallTime at);

// Attempts per minute over the last minute of samples.
struct Throughput {
    double finishedPerMinute = 0;
    double failedPerMinute = 0;
};

class History {
public:
    static constexpr Duration kFineStep = std::chrono::seconds(1);
    static constexpr Duration kCoarseStep = std::chrono::seconds(10);
    static constexpr std::size_t kFineLimit = 300;
    static constexpr std::size_t kCoarseLimit = 360;

    // Takes at most one sample a second; earlier times than the last are ignored (a server's clock went
    // back).
    void observe(const FarmReplica& farm, WallTime at);
    void clear();

    // Oldest first, coarse then fine, none older than span before the newest.
    [[nodiscard]] std::vector<FarmSample> since(Duration span) const;
    // Empty until ten seconds have been seen.
    [[nodiscard]] std::optional<Throughput> throughput() const;
    [[nodiscard]] bool empty() const { return m_fine.empty(); }
    [[nodiscard]] std::uint64_t revision() const { return m_revision; }

private:
    void addCoarse(const FarmSample& sample);

    std::deque<FarmSample> m_fine;
    std::deque<FarmSample> m_coarse;
    std::uint64_t m_revision = 0;
};

// True when data is missing between two neighbours: it must be drawn as a gap.
[[nodiscard]] bool isGap(const FarmSample& before, const FarmSample& after);

} // namespace penstock::gui
