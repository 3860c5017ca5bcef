// SPDX-License-Identifier: GPL-3.0-or-later
// MemoryTables: the rows of the farm in ordered maps, with the same rules as the database: what a batch may
// do, what is found, what is recovered. Pure data without thread or clock; every call is atomic: a refused batch
// changes nothing. Used by MemoryStore, which adds the asynchronous shape of Store.
#pragma once

#include "server/store/store.h"

#include <map>
#include <set>
#include <utility>

namespace penstock::store {

class MemoryTables {
public:
    // Everything in one step, or Conflict and nothing.
    [[nodiscard]] Result<void> apply(const work::Changes& changes, const work::IdMarks& marks);
    [[nodiscard]] work::Recovery recover() const;

    [[nodiscard]] Result<std::vector<JobView>> findJobs(const JobFilter& filter) const;
    [[nodiscard]] Result<JobView> findJob(JobId id) const;
    [[nodiscard]] Result<std::vector<StepView>> findSteps(const StepFilter& filter) const;
    [[nodiscard]] Result<std::vector<AttemptView>> findAttempts(const AttemptFilter& filter) const;
    [[nodiscard]] Result<work::StoredJob> loadJob(JobId id) const;
    [[nodiscard]] Result<std::vector<StoredDerivation>> loadDerivations(const std::vector<StepId>& steps) const;

    [[nodiscard]] Result<void> addToken(const TokenRow& token);
    [[nodiscard]] Result<TokenRow> findToken(const std::string& id) const;
    [[nodiscard]] std::vector<TokenRow> listTokens() const; // oldest first
    [[nodiscard]] Result<void> revokeToken(const std::string& id);

    // The lead: a number that grows with each leader; 0 is nobody. Taken by a store, given back when it is destroyed.
    [[nodiscard]] Result<std::uint64_t> takeLead();
    void giveBackLead(std::uint64_t epoch);
    [[nodiscard]] Result<void> checkLead(std::uint64_t epoch) const;

private:
    using Key = std::pair<std::string, std::string>;

    [[nodiscard]] Result<void> check(const work::Changes& changes) const;
    [[nodiscard]] Result<void> checkUpdates(const work::Changes& changes) const;
    [[nodiscard]] Result<void> checkKeysAndIdentities(const work::Changes& changes) const;
    void insert(const work::Changes& changes);
    void writeMachines(const work::Changes& changes);
    void writeFarmRows(const work::Changes& changes);
    void recoverFarm(work::Recovery& recovery) const;
    [[nodiscard]] std::vector<work::HistoryRow> newestHistory() const; // oldest first
    [[nodiscard]] JobView viewOf(const work::JobRow& row) const;
    [[nodiscard]] StepView viewOf(const work::StepRow& row, std::optional<JobId> job) const;
    [[nodiscard]] std::string machineName(MachineId id) const;
    void collectSteps(const std::set<StepId>& ids, std::vector<work::StepRow>& steps) const;
    [[nodiscard]] std::vector<work::DependencyRow> dependenciesOf(const std::set<StepId>& ids) const;
    [[nodiscard]] bool isGood(StepId id) const;
    [[nodiscard]] bool reveals(StepId id) const;

    std::map<MachineId, work::MachineRow> m_machines;
    std::map<std::string, MachineId> m_identities;
    std::map<JobId, work::JobRow> m_jobs;
    std::map<StepId, work::StepRow> m_steps;
    std::map<StepId, std::set<StepId>> m_dependencies;
    std::map<JobId, std::map<StepId, bool>> m_jobSteps; // to root
    std::map<AttemptId, work::AttemptRow> m_attempts;
    std::map<StepId, std::set<AttemptId>> m_attemptsOfStep;
    std::map<Key, JobId> m_keys;
    std::map<std::string, TokenRow> m_tokens;
    std::map<std::string, work::ShareGroupRow> m_shareGroups;
    std::map<std::string, work::NamespaceRow> m_namespaces;
    std::map<std::pair<WallTime, std::string>, work::UsageRow> m_usage; // by bucket and group
    std::map<std::string, work::HistoryRow> m_history;
    work::DispatchPause m_pause;
    work::IdMarks m_marks;
    std::uint64_t m_epoch = 0;
    bool m_isLed = false;
};

} // namespace penstock::store
