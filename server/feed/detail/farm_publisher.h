// SPDX-License-Identifier: GPL-3.0-or-later
// FarmPublisher: keeps the mirror up to date while somebody watches the farm, and numbers what changes. Once a period
// it asks the source for what was marked, and hands out one delta, also an empty one: that is the heartbeat. Asks
// nothing while nobody watches. Lives on the feed's loop.
//
//   Cold --somebody watches--> Warming --first answer--> Warm --nobody for kKeepWarm--> Cold
#pragma once

#include "server/feed/detail/delta_ring.h"
#include "server/feed/detail/farm_mirror.h"
#include "server/feed/feed.h"

#include <memory>
#include <set>
#include <string>

namespace penstock::feed {

struct FarmSink {
    virtual ~FarmSink() = default;
    virtual void onFarmStart() = 0;                         // snapshot() is there (anew)
    virtual void onFarmDelta(const std::string& delta) = 0; // serialized FarmDelta without its watch
};

class FarmPublisher {
public:
    FarmPublisher(const Clock& clock, FeedSource& source, const FeedOptions& options, FarmSink& sink);

    void setWatched(bool watched);
    void mark(std::span<const JobId> jobs, std::span<const MachineId> machines);
    void tick(); // once a period

    [[nodiscard]] bool isWarm() const { return m_state == State::Warm; }
    [[nodiscard]] const DeltaRing& ring() const { return m_ring; }
    [[nodiscard]] std::string snapshotFrame(std::uint64_t watch) const;
    [[nodiscard]] std::string resumedFrame(std::uint64_t watch, std::uint64_t number) const;

private:
    enum class State : std::uint8_t { Cold, Warming, Warm };

    void ask();
    void answered(const FarmRequest& request, Result<FarmRecords> records);
    void publish(const FarmChange& change);
    [[nodiscard]] FarmRequest takeRequest(Instant now);

    const Clock& m_clock;
    FeedSource& m_source;
    const FeedOptions& m_options;
    FarmSink& m_sink;
    State m_state = State::Cold;
    bool m_watched = false;
    bool m_asking = false;
    Instant m_lastWatched;
    Instant m_lastMachines;
    Instant m_lastShares;
    FarmMirror m_mirror;
    DeltaRing m_ring;
    std::set<JobId> m_jobs;         // marked since the last question
    std::set<MachineId> m_machines; // likewise
    bool m_tooManyJobs = false;     // more were marked than are remembered: ask for the newest
    bool m_tooManyMachines = false;
    std::shared_ptr<bool> m_alive = std::make_shared<bool>(true);
};

} // namespace penstock::feed
