// SPDX-License-Identifier: GPL-3.0-or-later
// A machine that runs steps: how fast they get on, and what the kernel would say about load and pressure.
// Averages fade exponentially between changes and are exact at every instant; reports show them as they were,
// so the server sees them late, as in life. Virtual time; floating point, because it stands for the world and
// decides nothing.
#pragma once

#include "shared/base/clock.h"
#include "shared/base/ids.h"
#include "shared/protocol/link_values.h"

#include <cstdint>
#include <optional>
#include <vector>

namespace penstock::bench {

// The truth about one step, from the workload.
struct Truth {
    Duration duration{0};              // alone on a machine of speed 1
    std::uint32_t milliThreads = 1000; // see test::TrueStep
    std::uint32_t ioPermille = 0;
    std::uint32_t group = 0; // whose machine time this is; the workload's numbering
};

struct Running {
    AttemptId attempt{0};
    Truth truth;
    double left = 0; // microseconds of work
    Instant started;
    WallTime startedWall;
};

// Share of time in percent in which some thread waits for a cpu, when so many want to run on average: each is
// there or not on its own, so their number is about normally distributed.
[[nodiscard]] double cpuSome(double threads, double cores);
// Share of time in which all wait for the disk: grows fast once more is asked than it can do.
[[nodiscard]] double ioFull(double demand);

// How long something was above its limit.
struct OverTime {
    Duration longest{0};
    Duration total{0};
    Duration current{0};
    void add(Duration above, Duration below); // first above, then below (either may be zero)
};

class MachineModel {
public:
    MachineModel(protocol::MachineFacts facts, bool sharesCores, Instant now);

    void start(AttemptId attempt, const Truth& truth, Now now);
    // Foreign load, for instance a person's own work: threads that want to run.
    void setForeign(double threads, Instant now);
    // The one that ends at this instant, taken out.
    [[nodiscard]] std::optional<Running> takeFinished(Instant now);
    [[nodiscard]] std::optional<Running> take(AttemptId attempt, Instant now); // stopped from outside
    [[nodiscard]] std::optional<Instant> nextFinish() const;
    void advance(Instant to);

    [[nodiscard]] const protocol::MachineFacts& facts() const { return m_facts; }
    [[nodiscard]] const std::vector<Running>& running() const { return m_running; }
    [[nodiscard]] protocol::LoadSample sample() const;
    [[nodiscard]] double cpuAverage() const { return m_cpu.value; }
    [[nodiscard]] double threads() const { return m_threads; } // ours
    [[nodiscard]] double io() const { return m_io; }
    [[nodiscard]] double busyMicros() const { return m_busy; } // of all cores, by our steps
    // Pressure that our own steps cause, as its true ten-second average, above the machine's threshold.
    [[nodiscard]] const OverTime& overCpu() const { return m_overCpu; }
    [[nodiscard]] const OverTime& overIo() const { return m_overIo; }
    [[nodiscard]] Duration sinceOverCpu() const { return m_overAll.current; } // with the foreign load
    void forgetOverTime(); // what was, so that a later part is judged alone

private:
    struct Average { // decays towards what is true now
        double value = 0;
        double seconds = 10;
        // Moves on; adds to `over` how long it was above the limit meanwhile.
        void advance(double target, double elapsed, double limit, OverTime& over);
    };
    void demandChanged();
    [[nodiscard]] double rate(const Truth& truth) const;

    protocol::MachineFacts m_facts;
    bool m_sharesCores; // else each step runs as if alone
    std::vector<Running> m_running;
    Instant m_at;
    double m_threads = 0;
    double m_io = 0;
    double m_foreign = 0;
    double m_busy = 0;
    Average m_cpu;     // with the foreign load: what the kernel shows
    Average m_cpuOurs; // without
    Average m_ioFull;
    Average m_load1{0, 60};
    OverTime m_overCpu;
    OverTime m_overAll;
    OverTime m_overIo;
    OverTime m_ignored;
};

} // namespace penstock::bench
