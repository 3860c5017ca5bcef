// SPDX-License-Identifier: GPL-3.0-or-later
// MergedBatch: several batches, in order, as the one transaction that has their combined effect: of updates the last
// of each row counts, as of upserts, and an update of a row that is new here is written with the row. Pure.
#pragma once

#include "server/work/changes.h"

#include <cstddef>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace penstock::store::postgres {

// Rows to write, of every kind.
[[nodiscard]] std::size_t rowsOf(const work::Changes& changes);

class MergedBatch {
public:
    void add(work::Changes changes, const work::IdMarks& marks);

    // New rows carry their last progress. Sorted by id, so that rows lie beside each other on the page.
    [[nodiscard]] const work::Changes& changes() const { return m_changes; }
    // The updates that were written into new rows: to be carried out should those rows exist already.
    [[nodiscard]] const work::Changes& folded() const { return m_folded; }
    [[nodiscard]] const work::IdMarks& marks() const { return m_marks; }
    [[nodiscard]] std::size_t rows() const { return rowsOf(m_changes); }

    // Once, after the last add().
    void finish();

private:
    template <class Key> using Places = std::unordered_map<Key, std::size_t>; // only looked up, never walked

    void addFarmRows(work::Changes& changes);
    void remove(const std::vector<MachineId>& machines);

    work::Changes m_changes;
    work::Changes m_folded;
    work::IdMarks m_marks;
    Places<MachineId> m_machines;
    std::unordered_set<MachineId> m_removed; // only looked up
    Places<std::string> m_shareGroups;
    Places<std::string> m_namespaces;
    Places<std::string> m_usage;
    Places<std::string> m_history;
    Places<JobId> m_newJobs;
    Places<StepId> m_newSteps;
    Places<AttemptId> m_newAttempts;
    Places<JobId> m_jobs;
    Places<StepId> m_steps;
    Places<AttemptId> m_attempts;
    Places<JobId> m_foldedJobs;
    Places<StepId> m_foldedSteps;
    Places<AttemptId> m_foldedAttempts;
};

} // namespace penstock::store::postgres
