// SPDX-License-Identifier: GPL-3.0-or-later
// The farm as last told by the server: apply(snapshot) replaces it, apply(delta) changes it, a missing number
// is reported and nothing is applied until it is mended. Nothing is ever removed because the monitor lost
// contact. Pure, one owner, any thread. Bounds: kMaxQueues, kMaxMachines, kMaxJobs, kMaxShares; what is above is
// left out and counted.
#pragma once

#include "monitor-gui/replica/feed_event.h"
#include "monitor-gui/replica/numbering.h"

#include <cstddef>
#include <functional>
#include <map>
#include <optional>

namespace penstock::gui {

inline constexpr std::size_t kMaxQueues = 10'000;
inline constexpr std::size_t kMaxMachines = 20'000;
inline constexpr std::size_t kMaxJobs = 5'000;
inline constexpr std::size_t kMaxShares = 5'000;

class FarmReplica {
public:
    [[nodiscard]] Applied apply(const SnapshotEvent& snapshot, WallTime serverTime, Now now);
    [[nodiscard]] Applied apply(const DeltaEvent& delta, WallTime serverTime, Now now);
    // Every message carries the server's time; without one for long the farm is shown as stale.
    void heard(WallTime serverTime, Now now);

    [[nodiscard]] const FarmTotals& totals() const { return m_totals; }
    [[nodiscard]] const std::map<std::string, QueuePtr>& queues() const { return m_queues; }
    [[nodiscard]] const std::map<MachineId, MachinePtr>& machines() const { return m_machines; }
    [[nodiscard]] const std::map<JobId, JobPtr>& jobs() const { return m_jobs; }
    [[nodiscard]] const std::map<std::string, SharePtr>& shares() const { return m_shares; }

    [[nodiscard]] bool filled() const { return m_filled.has_value(); }
    [[nodiscard]] std::uint64_t number() const { return m_numbering.number(); }
    // When the last snapshot or delta came; empty before the first.
    [[nodiscard]] std::optional<Instant> lastFarmMessage() const { return m_filled; }
    // The server's clock of the last farm message, for "as of".
    [[nodiscard]] WallTime asOf() const { return m_asOf; }
    // The server's clock now, carried on by our monotonic one: two machines' wall clocks are never compared.
    [[nodiscard]] WallTime serverNow(Now now) const;
    // Records refused because a bound was reached.
    [[nodiscard]] std::uint64_t refused() const { return m_refused; }
    // Grows with each change; equal revisions mean equal contents.
    [[nodiscard]] std::uint64_t revision() const { return m_revision; }

private:
    template <class Key, class Record>
    void put(std::map<Key, std::shared_ptr<const Record>>& table, const Key& key,
             const std::shared_ptr<const Record>& record, std::size_t limit);
    template <class Event> void putAll(const Event& event);
    void stamp(WallTime serverTime, Now now);

    DeltaNumbering m_numbering;
    FarmTotals m_totals;
    std::map<std::string, QueuePtr> m_queues;
    std::map<MachineId, MachinePtr> m_machines;
    std::map<JobId, JobPtr> m_jobs;
    std::map<std::string, SharePtr> m_shares;
    std::optional<Instant> m_filled;
    WallTime m_asOf;
    WallTime m_serverTime;
    Instant m_serverTimeAt;
    std::uint64_t m_refused = 0;
    std::uint64_t m_revision = 0;
};

} // namespace penstock::gui
