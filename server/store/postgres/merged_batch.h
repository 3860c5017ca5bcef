// SPDX-License-Identifier: GPL-3.0-or-later
// MergedBatch: several batches, in order, as the one transaction that has their combined effect: of updates the last
// of each row counts, and an update of a row that is new here is written with the row. Pure.
#pragma once

#include "server/work/changes.h"

#include <cstddef>
#include <unordered_map>

namespace penstock::store::postgres {

class MergedBatch {
public:
    void add(work::Changes changes, const work::IdMarks& marks);

    // New rows carry their last progress. Sorted by id, so that rows lie beside each other on the page.
    [[nodiscard]] const work::Changes& changes() const { return m_changes; }
    // The updates that were written into new rows: to be carried out should those rows exist already.
    [[nodiscard]] const work::Changes& folded() const { return m_folded; }
    [[nodiscard]] const work::IdMarks& marks() const { return m_marks; }
    [[nodiscard]] std::size_t rows() const;

    // Once, after the last add().
    void finish();

private:
    template <class Id> using Places = std::unordered_map<Id, std::size_t>; // only looked up, never walked

    work::Changes m_changes;
    work::Changes m_folded;
    work::IdMarks m_marks;
    Places<MachineId> m_machines;
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
