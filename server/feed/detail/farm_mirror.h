// SPDX-License-Identifier: GPL-3.0-or-later
// FarmMirror: the farm as watchers have been told it, and what has changed since. Holds the newest open and finished
// jobs only, so it is bounded by the farm's machines, queues and
// kShownShares. Pure; one thread at a time.
#pragma once

#include "server/feed/feed_source.h"

#include <map>
#include <set>
#include <string>
#include <vector>

namespace penstock::feed {

struct FarmChange {
    std::vector<QueueEntry> queues; // changed or new
    std::vector<std::string> removedQueues;
    std::vector<MachineEntry> machines;
    std::vector<MachineId> removedMachines;
    std::vector<JobEntry> jobs;
    std::vector<JobId> removedJobs;
    std::vector<ShareEntry> shares;
    std::vector<std::string> removedShares;
};

class FarmMirror {
public:
    // request: what was asked, so that what is missing in the answer is known to be gone.
    [[nodiscard]] FarmChange apply(const FarmRequest& request, FarmRecords records);

    [[nodiscard]] const FarmTotals& totals() const { return m_totals; }
    [[nodiscard]] const std::map<std::string, QueueEntry>& queues() const { return m_queues; }
    [[nodiscard]] const std::map<MachineId, MachineEntry>& machines() const { return m_machines; }
    [[nodiscard]] const std::map<JobId, JobEntry>& jobs() const { return m_jobs; }
    [[nodiscard]] const std::map<std::string, ShareEntry>& shares() const { return m_shares; }
    // There are open jobs that should be shown and are not known here: ask for the newest ones.
    [[nodiscard]] bool lacksJobs() const;

private:
    void applyQueues(std::vector<QueueEntry> queues, FarmChange& change);
    void applyMachines(const FarmRequest& request, std::vector<MachineEntry> machines, FarmChange& change);
    void applyJobs(const FarmRequest& request, std::vector<JobEntry> jobs, FarmChange& change);
    void applyShares(std::vector<ShareEntry> shares, FarmChange& change);
    void trimJobs();

    FarmTotals m_totals;
    std::map<std::string, QueueEntry> m_queues;
    std::map<MachineId, MachineEntry> m_machines;
    std::map<JobId, JobEntry> m_jobs;
    std::map<std::string, ShareEntry> m_shares;
};

} // namespace penstock::feed
