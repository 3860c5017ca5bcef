// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/store/postgres/merged_batch.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace penstock::store::postgres {
namespace {

// The last one of each id wins, in the first one's place.
template <class Row, class Place> void put(std::vector<Row>& rows, Place& places, Row row)
{
    const auto [at, isNew] = places.emplace(row.id, rows.size());
    if (isNew)
        rows.push_back(std::move(row));
    else
        rows[at->second] = std::move(row);
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

void MergedBatch::add(work::Changes changes, const work::IdMarks& marks)
{
    for (work::MachineRow& row : changes.machines)
        put(m_changes.machines, m_machines, std::move(row));
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

std::size_t MergedBatch::rows() const
{
    const work::Changes& c = m_changes;
    return c.machines.size() + c.newJobs.size() + c.newSteps.size() + c.dependencies.size() + c.jobSteps.size() +
           c.newAttempts.size() + c.steps.size() + c.attempts.size() + c.jobs.size();
}

} // namespace penstock::store::postgres
