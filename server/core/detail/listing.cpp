// SPDX-License-Identifier: GPL-3.0-or-later
// Lists of steps for people, a bounded part at a time: hundreds of thousands may be live.
#include "server/core/detail/farm.h"

#include <algorithm>

namespace penstock::core::detail {
namespace {

constexpr std::size_t kLookedAt = 20'000; // about a millisecond

} // namespace

LiveSteps Farm::liveSteps(const std::set<work::StepState>& states, StepId from, std::size_t limit) const
{
    LiveSteps list;
    std::size_t left = kLookedAt;
    const StepId last = m_steps.forEachFrom(from, [&](StepId id, const StepRecord& step) {
        --left;
        if (states.contains(step.state())) {
            const work::StepProgress progress = step.progress();
            LiveStep& entry = list.steps.emplace_back();
            entry.id = id;
            entry.name = step.work.sharingKey();
            if (entry.name.empty())
                entry.name = step.work.name();
            entry.system = m_planner.placements().at(step.placement).system;
            entry.state = step.state();
            entry.created = step.created;
            entry.readySince = step.readySince();
            entry.attempts = progress.attempts;
            entry.failures = progress.failures + progress.infrastructureFailures;
            entry.dependencies = m_dag.dependencies(id).size();
            for (const JobId user : m_dag.users(id)) {
                const JobRecord& job = m_jobs.at(user);
                if (job.isOpen())
                    entry.priority = std::max(job.priority, entry.priority.value_or(job.priority));
            }
        }
        return left > 0 && list.steps.size() < limit;
    });
    if (left == 0 || list.steps.size() == limit)
        list.next = StepId(last.value() + 1);
    return list;
}

} // namespace penstock::core::detail
