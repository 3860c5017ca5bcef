// SPDX-License-Identifier: GPL-3.0-or-later
// Who wants a step: an open job that claims it, or an open step that depends on it. What nobody wants any more ends,
// and what has ended and is no job's leaves memory.
#include "server/core/detail/farm.h"

#include "shared/base/check.h"

#include <algorithm>
#include <utility>

namespace penstock::core::detail {

// Some job that is open, and that nobody has cancelled, claims it.
bool Farm::isClaimed(StepId id) const
{
    const std::span<const JobId> users = m_dag.users(id);
    return std::any_of(users.begin(), users.end(), [this](JobId user) {
        const JobRecord& job = m_jobs.at(user);
        return job.isOpen() && !work::isCancelAsked(job.progress());
    });
}

bool Farm::isWanted(StepId id) const
{
    return m_dag.isNeeded(id) || isClaimed(id);
}

// The job that an attempt of the step is told to be for: of those that want it one that asked for it by name, else one
// that claims it, else one above it. Upwards each step has an open dependent or a job.
JobId Farm::jobFor(StepId id) const
{
    StepId at = id;
    for (;;) {
        JobId some(0);
        for (const JobId user : m_dag.users(at)) {
            const JobRecord& job = m_jobs.at(user);
            if (!job.isOpen() || work::isCancelAsked(job.progress()))
                continue;
            const JobStep* entry = job.find(at);
            if (entry != nullptr && entry->root)
                return user;
            if (some.value() == 0)
                some = user;
        }
        if (some.value() != 0)
            return some;
        const auto above = m_dag.dependents(at);
        const auto open = std::find_if(above.begin(), above.end(), [this](StepId dependent) {
            return m_dag.outcome(dependent) == work::Dag::Outcome::Open;
        });
        if (open == above.end())
            break;
        at = *open;
    }
    // Only what is being stopped has none: it is still told to be for a job that claimed it.
    const std::span<const JobId> users = m_dag.users(id);
    return users.empty() ? JobId(0) : users.front();
}

// Each step that an open dependent has left, and by its end those below it: each once, nothing recurses.
void Farm::dropUnwanted(const std::string& reason)
{
    std::vector<StepId> left = m_dag.takeLeft();
    left.insert(left.end(), m_unneeded.begin(), m_unneeded.end());
    m_unneeded.clear();
    for (; !left.empty(); left = m_dag.takeLeft())
        for (const StepId id : left) {
            const StepRecord& step = m_steps.at(id);
            if (step.state() == work::StepState::Finished)
                m_leaving.push_back(id);
            else if (!isWanted(id))
                dropStep(id, reason);
        }
}

// Nobody wants it: it ends at once, or when what runs has been stopped.
void Farm::dropStep(StepId id, const std::string& reason)
{
    StepRecord& step = m_steps.at(id);
    if (step.state() == work::StepState::Running) {
        m_dag.unshare(step.work.sharingKey(), id); // a new job gets a step of its own
        return stopAttempt(step.newest, reason);
    }
    if (m_dag.users(id).empty())
        ++m_counters.stepsUnwanted;
    moveStep(id, work::CancelStep{reason});
}

// A finished step that no job claims is kept only while an open step may ask for paths that it has revealed.
bool Farm::mayLeave(StepId id, const StepRecord& step) const
{
    if (step.state() != work::StepState::Finished || !m_dag.users(id).empty())
        return false;
    return !m_dag.isNeeded(id) || (!step.revealsPaths && m_dag.outcome(id) == work::Dag::Outcome::Good);
}

// After everything of the batch has been written down.
void Farm::evictUnclaimed()
{
    std::vector<StepId> leaving = std::exchange(m_leaving, {});
    std::sort(leaving.begin(), leaving.end());
    leaving.erase(std::unique(leaving.begin(), leaving.end()), leaving.end());
    std::erase_if(leaving, [this](StepId id) {
        const StepRecord* step = m_steps.find(id);
        return step == nullptr || !mayLeave(id, *step);
    });
    removeSteps(leaving);
}

void Farm::removeSteps(std::span<const StepId> gone)
{
    m_dag.remove(gone);
    for (const StepId id : gone) {
        const StepRecord& step = m_steps.at(id);
        m_dag.unshare(step.work.sharingKey(), id);
        if (step.newest.value() != 0)
            m_attempts.erase(step.newest);
        m_steps.erase(id);
    }
}

} // namespace penstock::core::detail
