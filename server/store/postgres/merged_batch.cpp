// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/store/postgres/merged_batch.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <type_traits>
#include <utility>

namespace penstock::store::postgres {
namespace {

// The last one of each key wins, in the first one's place.
template <class Row, class Place, class Key>
void putAt(std::vector<Row>& rows, Place& places, const Key& key, std::type_identity_t<Row>&& row)
{
    const auto [at, isNew] = places.emplace(key, rows.size());
    if (isNew)
        rows.push_back(std::move(row));
    else
        rows[at->second] = std::move(row);
}
template <class Row, class Place> void put(std::vector<Row>& rows, Place& places, Row row)
{
    const auto id = row.id;
    putAt(rows, places, id, std::move(row));
}

// The first one of each id wins, as in the database.
template <class Row, class Place> void putNew(std::vector<Row>& rows, Place& places, std::vector<Row>& more)
{
    for (Row& row : more)
        if (places.emplace(row.id, rows.size()).second)
            rows.push_back(std::move(row));
}

template <class Row> void append(std::vector<Row>& rows, std::vector<Row>& more)
{
    if (rows.empty())
        rows = std::move(more);
    else
        rows.insert(rows.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

template <class Row> void sortById(std::vector<Row>& rows)
{
    if (!std::ranges::is_sorted(rows, {}, &Row::id))
        std::ranges::sort(rows, {}, &Row::id);
}

} // namespace

// A machine that one batch removes and a later one writes is removed and then written: removals come first.
void MergedBatch::remove(const std::vector<MachineId>& machines)
{
    if (machines.empty())
        return;
    for (const MachineId id : machines)
        if (m_removed.insert(id).second)
            m_changes.removedMachines.push_back(id);
    const std::set<MachineId> gone(machines.begin(), machines.end());
    std::erase_if(m_changes.machines, [&gone](const work::MachineRow& row) { return gone.contains(row.id); });
    m_machines.clear();
    for (const work::MachineRow& row : m_changes.machines)
        m_machines.emplace(row.id, m_machines.size());
}

void MergedBatch::addFarmRows(work::Changes& changes)
{
    for (work::MachineRow& row : changes.machines)
        put(m_changes.machines, m_machines, std::move(row));
    remove(changes.removedMachines);
    for (work::ShareGroupRow& row : changes.shareGroups)
        putAt(m_changes.shareGroups, m_shareGroups, row.name, std::move(row));
    for (work::NamespaceRow& row : changes.namespaces)
        putAt(m_changes.namespaces, m_namespaces, row.name, std::move(row));
    for (work::UsageRow& row : changes.usage) {
        const std::string key = std::to_string(row.bucket.micros()) + " " + row.group;
        putAt(m_changes.usage, m_usage, key, std::move(row));
    }
    for (work::HistoryRow& row : changes.history)
        putAt(m_changes.history, m_history, row.name, std::move(row));
    if (changes.pause)
        m_changes.pause = std::move(changes.pause);
}

void MergedBatch::add(work::Changes changes, const work::IdMarks& marks)
{
    addFarmRows(changes);
    putNew(m_changes.newJobs, m_newJobs, changes.newJobs);
    putNew(m_changes.newSteps, m_newSteps, changes.newSteps);
    putNew(m_changes.newAttempts, m_newAttempts, changes.newAttempts);
    append(m_changes.dependencies, changes.dependencies);
    append(m_changes.jobSteps, changes.jobSteps);
    const auto fold = [](auto& updates, auto& newRows, const auto& newPlaces, auto& folded, auto& foldedPlaces,
                         auto& rest, auto& restPlaces) {
        for (auto& update : updates) {
            const auto found = newPlaces.find(update.id);
            if (found == newPlaces.end()) {
                put(rest, restPlaces, std::move(update));
                continue;
            }
            newRows[found->second].progress = update.progress;
            put(folded, foldedPlaces, std::move(update));
        }
    };
    fold(changes.jobs, m_changes.newJobs, m_newJobs, m_folded.jobs, m_foldedJobs, m_changes.jobs, m_jobs);
    fold(changes.steps, m_changes.newSteps, m_newSteps, m_folded.steps, m_foldedSteps, m_changes.steps, m_steps);
    fold(changes.attempts, m_changes.newAttempts, m_newAttempts, m_folded.attempts, m_foldedAttempts,
         m_changes.attempts, m_attempts);
    m_marks.job = std::max(m_marks.job, marks.job);
    m_marks.step = std::max(m_marks.step, marks.step);
    m_marks.attempt = std::max(m_marks.attempt, marks.attempt);
    m_marks.machine = std::max(m_marks.machine, marks.machine);
}

void MergedBatch::finish()
{
    sortById(m_changes.machines);
    sortById(m_changes.newJobs);
    sortById(m_changes.newSteps);
    sortById(m_changes.newAttempts);
    sortById(m_changes.jobs);
    sortById(m_changes.steps);
    sortById(m_changes.attempts);
}

std::size_t rowsOf(const work::Changes& c)
{
    return c.machines.size() + c.newJobs.size() + c.newSteps.size() + c.dependencies.size() + c.jobSteps.size() +
           c.newAttempts.size() + c.steps.size() + c.attempts.size() + c.jobs.size() + c.shareGroups.size() +
           c.namespaces.size() + c.usage.size() + c.history.size() + (c.pause ? 1 : 0) + c.removedMachines.size();
}

} // namespace penstock::store::postgres
