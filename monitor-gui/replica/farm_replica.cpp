// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/replica/farm_replica.h"

namespace penstock::gui {

template <class Key, class Record>
void FarmReplica::put(std::map<Key, std::shared_ptr<const Record>>& table, const Key& key,
                      const std::shared_ptr<const Record>& record, std::size_t limit)
{
    const auto found = table.find(key);
    if (found != table.end())
        found->second = record;
    else if (table.size() < limit)
        table.emplace(key, record);
    else
        ++m_refused;
}

template <class Event> void FarmReplica::putAll(const Event& event)
{
    m_totals = event.totals;
    for (const QueuePtr& queue : event.queues)
        put(m_queues, queue->key, queue, kMaxQueues);
    for (const MachinePtr& machine : event.machines)
        put(m_machines, machine->id, machine, kMaxMachines);
    for (const JobPtr& job : event.jobs)
        put(m_jobs, job->id, job, kMaxJobs);
    for (const SharePtr& share : event.shares)
        put(m_shares, share->group, share, kMaxShares);
}

Applied FarmReplica::apply(const SnapshotEvent& snapshot, WallTime serverTime, Now now)
{
    const Applied applied = m_numbering.accept(snapshot);
    if (applied != Applied::Yes)
        return applied;
    stamp(serverTime, now);
    if (snapshot.resumed)
        return applied;
    m_queues.clear();
    m_machines.clear();
    m_jobs.clear();
    m_shares.clear();
    putAll(snapshot);
    return applied;
}

Applied FarmReplica::apply(const DeltaEvent& delta, WallTime serverTime, Now now)
{
    const Applied applied = m_numbering.accept(delta);
    if (applied != Applied::Yes)
        return applied;
    stamp(serverTime, now);
    for (const std::string& key : delta.removedQueues)
        m_queues.erase(key);
    for (const MachineId id : delta.removedMachines)
        m_machines.erase(id);
    for (const JobId id : delta.removedJobs)
        m_jobs.erase(id);
    for (const std::string& group : delta.removedShares)
        m_shares.erase(group);
    putAll(delta);
    return applied;
}

void FarmReplica::heard(WallTime serverTime, Now now)
{
    m_serverTime = serverTime;
    m_serverTimeAt = now.mono;
}

void FarmReplica::stamp(WallTime serverTime, Now now)
{
    heard(serverTime, now);
    m_filled = now.mono;
    m_asOf = serverTime;
    ++m_revision;
}

WallTime FarmReplica::serverNow(Now now) const
{
    return m_serverTime + (now.mono - m_serverTimeAt);
}

} // namespace penstock::gui
