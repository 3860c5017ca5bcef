// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/feed/detail/farm_mirror.h"

#include <algorithm>
#include <utility>

namespace penstock::feed {
namespace {

// The table is these now; says which are new or other than before, and which are gone.
template <class Entry>
void replaceAll(std::vector<Entry> entries, std::string Entry::*key, std::map<std::string, Entry>& table,
                std::vector<Entry>& changed, std::vector<std::string>& removed)
{
    std::map<std::string, Entry> next;
    for (auto& entry : entries) {
        const auto known = table.find(entry.*key);
        if (known == table.end() || known->second != entry)
            changed.push_back(entry);
        std::string name = entry.*key;
        next.insert_or_assign(std::move(name), std::move(entry));
    }
    for (const auto& [name, entry] : table) {
        if (!next.contains(name))
            removed.push_back(name);
    }
    table = std::move(next);
}

} // namespace

FarmChange FarmMirror::apply(const FarmRequest& request, FarmRecords records)
{
    FarmChange change;
    m_totals = std::move(records.totals);
    applyQueues(std::move(records.queues), change);
    applyMachines(request, std::move(records.machines), change);
    applyJobs(request, std::move(records.jobs), change);
    if (request.shares)
        applyShares(std::move(records.shares), change);
    return change;
}

void FarmMirror::applyQueues(std::vector<QueueEntry> queues, FarmChange& change)
{
    replaceAll(std::move(queues), &QueueEntry::key, m_queues, change.queues, change.removedQueues);
}

void FarmMirror::applyShares(std::vector<ShareEntry> shares, FarmChange& change)
{
    if (shares.size() > kShownShares)
        shares.resize(kShownShares);
    replaceAll(std::move(shares), &ShareEntry::group, m_shares, change.shares, change.removedShares);
}

void FarmMirror::applyMachines(const FarmRequest& request, std::vector<MachineEntry> machines, FarmChange& change)
{
    std::set<MachineId> gone(request.machines.begin(), request.machines.end());
    if (request.allMachines) {
        for (const auto& [id, machine] : m_machines)
            gone.insert(id);
    }
    for (auto& machine : machines) {
        const auto id = machine.id;
        gone.erase(id);
        const auto known = m_machines.find(id);
        if (known != m_machines.end() && known->second == machine)
            continue;
        change.machines.push_back(machine);
        m_machines.insert_or_assign(id, std::move(machine));
    }
    for (const auto id : gone) {
        if (m_machines.erase(id) > 0)
            change.removedMachines.push_back(id);
    }
}

void FarmMirror::applyJobs(const FarmRequest& request, std::vector<JobEntry> jobs, FarmChange& change)
{
    std::set<JobId> before;
    for (const auto& [id, job] : m_jobs)
        before.insert(id);
    std::set<JobId> changed;
    std::set<JobId> named;
    for (auto& job : jobs) {
        const auto id = job.id;
        named.insert(id);
        const auto known = m_jobs.find(id);
        if (known != m_jobs.end() && known->second == job)
            continue;
        changed.insert(id);
        m_jobs.insert_or_assign(id, std::move(job));
    }
    for (const auto id : request.jobs) {
        if (!named.contains(id))
            m_jobs.erase(id);
    }
    trimJobs();
    for (const auto id : changed) {
        if (const auto found = m_jobs.find(id); found != m_jobs.end())
            change.jobs.push_back(found->second);
    }
    for (const auto id : before) {
        if (!m_jobs.contains(id))
            change.removedJobs.push_back(id);
    }
}

void FarmMirror::trimJobs()
{
    std::vector<std::pair<WallTime, JobId>> finished;
    std::size_t open = 0;
    for (const auto& [id, job] : m_jobs) {
        if (work::isFinished(job.state))
            finished.emplace_back(job.finished.value_or(WallTime{}), id);
        else
            ++open;
    }
    for (auto at = m_jobs.begin(); at != m_jobs.end() && open > kShownOpenJobs;) {
        const bool isOpen = !work::isFinished(at->second.state);
        at = isOpen ? m_jobs.erase(at) : std::next(at);
        open -= isOpen ? 1 : 0;
    }
    if (finished.size() <= kShownFinishedJobs)
        return;
    const auto kept = finished.end() - static_cast<std::ptrdiff_t>(kShownFinishedJobs);
    std::nth_element(finished.begin(), kept, finished.end());
    for (auto at = finished.begin(); at != kept; ++at)
        m_jobs.erase(at->second);
}

bool FarmMirror::lacksJobs() const
{
    const auto open = static_cast<std::uint64_t>(std::ranges::count_if(
        m_jobs, [](const auto& each) { return !work::isFinished(each.second.state); }));
    // Some slack, so that a farm whose jobs end one by one is not asked for a thousand of them each time.
    const auto wanted = std::min<std::uint64_t>(m_totals.jobsOpen, kShownOpenJobs);
    return open < wanted - wanted / 10;
}

} // namespace penstock::feed
