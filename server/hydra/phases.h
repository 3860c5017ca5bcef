// SPDX-License-Identifier: GPL-3.0-or-later
// Phases: buildsteps.busy of steps that run, as Hydra's web interface shows it. For display only, so that it never
// holds anything up: the newest phase of each attempt is written with those of all others in one statement, a moment
// later; a row that somebody has locked is tried again; what fails for good is forgotten. While the database is away
// the newest phases wait, so many at most. A row is only moved on, and never once it has ended. Idle, it asks the
// database nothing. Has a thread and a connection of its own; tell() from any thread.
#pragma once

#include "server/store/postgres/connection.h"
#include "shared/base/clock.h"
#include "shared/base/ids.h"
#include "shared/base/log.h"
#include "shared/base/mutex.h"
#include "shared/base/std_loop.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace penstock::hydra {

// What builders call their phases (proto/README.md), in Hydra's numbers. 0: nothing that a row of a running step does
// not say already.
inline constexpr int kBusyBuilding = 30;
[[nodiscard]] int busyOf(std::string_view phase);

struct PhaseOptions {
    std::string connectionString;
    Duration pause = std::chrono::milliseconds(100); // in which phases come together
    Duration firstWait = std::chrono::seconds(1);    // after the database was away; twice as long each time
    Duration longestWait = std::chrono::minutes(1);
    std::size_t maxWaiting = 100'000;
};

class Phases {
public:
    // The references outlive it. Opens its connection when there is something to write.
    Phases(PhaseOptions options, const Clock& clock, Logger& logger);
    ~Phases(); // soon, whatever the database does
    Phases(const Phases&) = delete;
    Phases& operator=(const Phases&) = delete;

    void tell(AttemptId attempt, int busy);
    [[nodiscard]] std::uint64_t statements(); // so far

private:
    struct Waiting {
        int busy;
        unsigned tries = 0;
    };
    using Batch = std::map<AttemptId, Waiting>;

    void flush();
    [[nodiscard]] Batch takeBatch();
    // Those that were locked.
    [[nodiscard]] Result<std::vector<AttemptId>> write(const Batch& batch);
    void putBack(const Batch& batch);
    void again(Duration wait);

    const PhaseOptions m_options;
    const Clock& m_clock;
    Logger& m_logger;
    store::postgres::StopSignal m_stop;
    std::optional<store::postgres::Connection> m_connection; // of the thread
    unsigned m_failures = 0;                                 // in a row; of the thread
    Mutex m_mutex;
    Batch m_waiting PENSTOCK_GUARDED_BY(m_mutex);
    std::uint64_t m_statements PENSTOCK_GUARDED_BY(m_mutex) = 0;
    bool m_isArmed PENSTOCK_GUARDED_BY(m_mutex) = false;
    StdLoop m_loop{"phases"}; // last: its tasks use all of the above
};

} // namespace penstock::hydra
