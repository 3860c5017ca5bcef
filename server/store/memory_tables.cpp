// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/store/memory_tables.h"

#include <algorithm>
#include <fmt/core.h>
#include <functional>

namespace penstock::store {
namespace {

using work::isFinished;

template <class Row, class Id> Result<void> checkKnown(const std::map<Id, Row>& rows, Id id, const char* what)
{
    if (!rows.contains(id))
        return fail(ErrorCode::Conflict,
                    fmt::format("update of {} {}, which is not stored; our view of the rows is wrong", what,
                                id.value()));
    return {};
}

// As the core needs it.
work::StepRow withoutText(work::StepRow row)
{
    if (const auto* nix = std::get_if<work::NixWork>(row.spec.work.get()))
        row.spec.work = std::make_shared<const work::Work>(
            work::NixWork{nix->drvPath, {}, {}, nix->outputs, nix->platform});
    return row;
}

} // namespace

// ------------------------------------------------------------------------------------------------------ writing

Result<void> MemoryTables::checkUpdates(const work::Changes& changes) const
{
    std::set<JobId> newJobs;
    std::set<StepId> newSteps;
    std::set<AttemptId> newAttempts;
    for (const work::JobRow& row : changes.newJobs)
        newJobs.insert(row.id);
    for (const work::StepRow& row : changes.newSteps)
        newSteps.insert(row.id);
    for (const work::AttemptRow& row : changes.newAttempts)
        newAttempts.insert(row.id);
    for (const work::JobUpdate& update : changes.jobs)
        if (!newJobs.contains(update.id))
            PENSTOCK_TRY_VOID(checkKnown(m_jobs, update.id, "job"));
    for (const work::StepUpdate& update : changes.steps)
        if (!newSteps.contains(update.id))
            PENSTOCK_TRY_VOID(checkKnown(m_steps, update.id, "step"));
    for (const work::AttemptUpdate& update : changes.attempts)
        if (!newAttempts.contains(update.id))
            PENSTOCK_TRY_VOID(checkKnown(m_attempts, update.id, "attempt"));
    return {};
}

Result<void> MemoryTables::checkKeysAndIdentities(const work::Changes& changes) const
{
    std::map<std::string, MachineId> identities;
    const std::set<MachineId> removed(changes.removedMachines.begin(), changes.removedMachines.end());
    for (const work::MachineRow& row : changes.machines) {
        if (removed.contains(row.id))
            continue;
        const auto stored = m_identities.find(row.identity);
        const auto [mine, isNew] = identities.emplace(row.identity, row.id);
        const bool isAnothers = stored != m_identities.end() && stored->second != row.id &&
                                !removed.contains(stored->second);
        if (isAnothers || mine->second != row.id)
            return fail(ErrorCode::Conflict, fmt::format("machine {} has the identity {} of another machine",
                                                         row.id.value(), row.identity));
    }
    std::map<JobId, work::JobState> states; // as they will be: a job may finish in the batch that passes its key on
    for (const work::JobUpdate& update : changes.jobs)
        states.insert_or_assign(update.id, update.progress.state);
    std::map<Key, JobId> keys;
    for (const work::JobRow& row : changes.newJobs) {
        if (row.spec.key.empty())
            continue;
        const Key key{row.spec.nameSpace, row.spec.key};
        const auto stored = m_keys.find(key);
        const auto [mine, isNew] = keys.emplace(key, row.id);
        bool held = stored != m_keys.end() && stored->second != row.id;
        if (held) {
            const auto changed = states.find(stored->second);
            held = !isFinished(changed != states.end() ? changed->second
                                                       : m_jobs.at(stored->second).progress.state);
        }
        if (held || mine->second != row.id)
            return fail(ErrorCode::Conflict, fmt::format("job {} has the key \"{}\" of another unfinished job",
                                                         row.id.value(), row.spec.key));
    }
    return {};
}

Result<void> MemoryTables::check(const work::Changes& changes) const
{
    PENSTOCK_TRY_VOID(checkUpdates(changes));
    return checkKeysAndIdentities(changes);
}

void MemoryTables::writeMachines(const work::Changes& changes)
{
    const std::set<MachineId> removed(changes.removedMachines.begin(), changes.removedMachines.end());
    for (const MachineId id : removed)
        if (const auto found = m_machines.find(id); found != m_machines.end()) {
            m_identities.erase(found->second.identity);
            m_machines.erase(found);
        }
    for (const work::MachineRow& row : changes.machines) {
        if (removed.contains(row.id))
            continue;
        const auto [found, isNew] = m_machines.try_emplace(row.id, row);
        if (!isNew) {
            m_identities.erase(found->second.identity);
            found->second = row;
        }
        m_identities.emplace(row.identity, row.id);
    }
}

void MemoryTables::writeFarmRows(const work::Changes& changes)
{
    for (const work::ShareGroupRow& row : changes.shareGroups)
        m_shareGroups.insert_or_assign(row.name, row);
    for (const work::NamespaceRow& row : changes.namespaces)
        m_namespaces.insert_or_assign(row.name, row);
    for (const work::UsageRow& row : changes.usage)
        m_usage.insert_or_assign({row.bucket, row.group}, row);
    for (const work::HistoryRow& row : changes.history)
        m_history.insert_or_assign(row.name, row);
    if (changes.pause)
        m_pause = *changes.pause;

    if (!m_usage.empty()) {
        const WallTime oldest = m_usage.rbegin()->first.first + -kUsageKept;
        m_usage.erase(m_usage.begin(), m_usage.lower_bound({oldest, std::string()}));
    }
    if (m_history.size() >= 2 * work::kHistoryKept) { // seldom, as each time costs as much as all there is
        std::map<std::string, work::HistoryRow> kept;
        for (work::HistoryRow& row : newestHistory()) {
            std::string name = row.name;
            kept.emplace(std::move(name), std::move(row));
        }
        m_history = std::move(kept);
    }
}

void MemoryTables::insert(const work::Changes& changes)
{
    writeMachines(changes);
    writeFarmRows(changes);
    for (const work::JobRow& row : changes.newJobs)
        if (m_jobs.emplace(row.id, row).second && !row.spec.key.empty())
            m_keys.insert_or_assign(Key{row.spec.nameSpace, row.spec.key}, row.id);
    for (const work::StepRow& row : changes.newSteps)
        m_steps.emplace(row.id, row);
    for (const work::DependencyRow& row : changes.dependencies)
        m_dependencies[row.step].insert(row.dependsOn);
    for (const work::JobStepRow& row : changes.jobSteps)
        m_jobSteps[row.job].emplace(row.step, row.root);
    for (const work::AttemptRow& row : changes.newAttempts)
        if (m_attempts.emplace(row.id, row).second)
            m_attemptsOfStep[row.step].insert(row.id);
}

Result<void> MemoryTables::apply(const work::Changes& changes, const work::IdMarks& marks)
{
    PENSTOCK_TRY_VOID(check(changes));
    insert(changes);
    for (const work::StepUpdate& update : changes.steps)
        m_steps.at(update.id).progress = update.progress;
    for (const work::AttemptUpdate& update : changes.attempts)
        m_attempts.at(update.id).progress = update.progress;
    for (const work::JobUpdate& update : changes.jobs)
        m_jobs.at(update.id).progress = update.progress;
    m_marks.job = std::max(m_marks.job, marks.job);
    m_marks.step = std::max(m_marks.step, marks.step);
    m_marks.attempt = std::max(m_marks.attempt, marks.attempt);
    m_marks.machine = std::max(m_marks.machine, marks.machine);
    return {};
}

// ------------------------------------------------------------------------------------------------------ reading

void MemoryTables::collectSteps(const std::set<StepId>& ids, std::vector<work::StepRow>& steps) const
{
    for (const StepId id : ids)
        if (const auto found = m_steps.find(id); found != m_steps.end())
            steps.push_back(withoutText(found->second));
}

std::vector<work::DependencyRow> MemoryTables::dependenciesOf(const std::set<StepId>& ids) const
{
    std::vector<work::DependencyRow> dependencies;
    for (const StepId id : ids)
        if (const auto found = m_dependencies.find(id); found != m_dependencies.end())
            for (const StepId needed : found->second)
                dependencies.push_back({id, needed});
    return dependencies;
}

bool MemoryTables::isGood(StepId id) const
{
    const auto found = m_steps.find(id);
    return found != m_steps.end() && found->second.progress.result && work::isGood(*found->second.progress.result);
}

bool MemoryTables::reveals(StepId id) const
{
    const auto found = m_steps.find(id);
    return found != m_steps.end() && !found->second.progress.revealed.empty();
}

std::vector<work::HistoryRow> MemoryTables::newestHistory() const
{
    std::vector<work::HistoryRow> rows;
    rows.reserve(m_history.size());
    for (const auto& [name, row] : m_history)
        rows.push_back(row);
    std::ranges::stable_sort(rows, {}, &work::HistoryRow::lastRun); // then by name, as they come from the map
    if (rows.size() > work::kHistoryKept)
        rows.erase(rows.begin(), rows.end() - static_cast<std::ptrdiff_t>(work::kHistoryKept));
    return rows;
}

void MemoryTables::recoverFarm(work::Recovery& recovery) const
{
    for (const auto& [id, row] : m_machines)
        recovery.machines.push_back(row);
    for (const auto& [name, row] : m_shareGroups)
        recovery.shareGroups.push_back(row);
    for (const auto& [name, row] : m_namespaces)
        recovery.namespaces.push_back(row);
    for (const auto& [key, row] : m_usage)
        if (row.bucket > m_usage.rbegin()->first.first + -kUsageRecovered)
            recovery.usage.push_back(row);
    recovery.history = newestHistory();
    recovery.pause = m_pause;
}

work::Recovery MemoryTables::recover() const
{
    work::Recovery recovery;
    recovery.marks = m_marks;
    recoverFarm(recovery);
    std::set<StepId> needed;
    for (const auto& [id, row] : m_jobs) {
        if (isFinished(row.progress.state))
            continue;
        recovery.jobs.push_back(row);
        if (const auto found = m_jobSteps.find(id); found != m_jobSteps.end())
            for (const auto& [step, root] : found->second) {
                recovery.jobSteps.push_back({id, step, root});
                needed.insert(step);
            }
    }
    for (const auto& [id, row] : m_attempts)
        if (row.progress.state != work::AttemptState::Ended) {
            recovery.attempts.push_back(row);
            needed.insert(row.step);
        }
    for (const auto& [id, row] : m_steps)
        if (!row.progress.result)
            needed.insert(id);
    recovery.dependencies = dependenciesOf(needed);
    for (const work::DependencyRow& edge : recovery.dependencies) // whose end or paths unfinished ones have to hear of
        if (const auto step = m_steps.find(edge.step); step != m_steps.end() && !step->second.progress.result)
            if (!isGood(edge.dependsOn) || reveals(edge.dependsOn))
                needed.insert(edge.dependsOn);
    collectSteps(needed, recovery.steps);

    std::set<JobId> remembered; // newest first until enough
    std::size_t finished = 0;
    std::vector<JobId> holders;
    for (const auto& [key, job] : m_keys)
        holders.push_back(job);
    std::ranges::sort(holders, std::greater{});
    for (const JobId job : holders)
        if (!isFinished(m_jobs.at(job).progress.state) || ++finished <= kMaxKeysRemembered)
            remembered.insert(job);
    for (const auto& [key, job] : m_keys)
        if (remembered.contains(job))
            recovery.keys.emplace_back(key, job);
    return recovery;
}

// ------------------------------------------------------------------------------------------------- tokens, lead

Result<void> MemoryTables::addToken(const TokenRow& token)
{
    if (!m_tokens.emplace(token.id, token).second)
        return fail(ErrorCode::Conflict, fmt::format("token {} exists already", token.id));
    return {};
}

Result<TokenRow> MemoryTables::findToken(const std::string& id) const
{
    const auto found = m_tokens.find(id);
    if (found == m_tokens.end())
        return fail(ErrorCode::NotFound, fmt::format("no token {}", id));
    return found->second;
}

std::vector<TokenRow> MemoryTables::listTokens() const
{
    std::vector<TokenRow> tokens;
    for (const auto& [id, token] : m_tokens)
        tokens.push_back(token);
    std::ranges::stable_sort(tokens, {}, &TokenRow::created);
    return tokens;
}

Result<void> MemoryTables::revokeToken(const std::string& id)
{
    const auto found = m_tokens.find(id);
    if (found == m_tokens.end())
        return fail(ErrorCode::NotFound, fmt::format("no token {}", id));
    found->second.revoked = true;
    return {};
}

Result<std::uint64_t> MemoryTables::takeLead()
{
    if (m_isLed)
        return fail(ErrorCode::Conflict, fmt::format("another server leads (epoch {})", m_epoch));
    m_isLed = true;
    return ++m_epoch;
}

void MemoryTables::giveBackLead(std::uint64_t epoch)
{
    if (epoch == m_epoch)
        m_isLed = false;
}

Result<void> MemoryTables::checkLead(std::uint64_t epoch) const
{
    if (!m_isLed || epoch != m_epoch)
        return fail(ErrorCode::Conflict,
                    fmt::format("this server does not lead (epoch {}, now {}); end it and start it anew", epoch,
                                m_epoch));
    return {};
}

} // namespace penstock::store
