// SPDX-License-Identifier: GPL-3.0-or-later
// FormerLimits: limits were once the steps' and are now the job's. A job stored before that gets the most generous ones
// of its steps, as they were all made from what it stated. Filled while rows are read; one thread.
#pragma once

#include "server/work/changes.h"

#include <unordered_map>
#include <utility>
#include <vector>

namespace penstock::store::postgres {

class FormerLimits {
public:
    void addStep(StepId id, const work::Limits& limits) { m_steps.emplace_back(id, limits); } // ids ascending
    void addJob(JobId id) { m_jobs.emplace(id, Found{}); } // one that has none stored

    // Sets the limits of those jobs.
    void give(std::vector<work::JobRow>& jobs, const std::vector<work::JobStepRow>& jobSteps);

private:
    struct Found {
        bool any = false;
        work::Limits limits;
    };
    std::vector<std::pair<StepId, work::Limits>> m_steps;
    std::unordered_map<JobId, Found> m_jobs; // only looked up
};

} // namespace penstock::store::postgres
