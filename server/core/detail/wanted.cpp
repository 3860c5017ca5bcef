// SPDX-License-Identifier: GPL-3.0-or-later
// Who wants a step: an open job that claims it, or an open step that depends on it; and what those make of it. What
// nobody wants any more ends, and what has ended and is no job's leaves memory.
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

// Upwards by the first open dependent that may be taken, to the first step that such a job claims; 0: there is none.
template <class Counts, class May> JobId Farm::climb(StepId at, Counts counts, May may) const
{
    for (;;) {
        JobId some(0);
        for (const JobId user : m_dag.users(at)) {
            const JobRecord& job = m_jobs.at(user);
            if (!counts(job))
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
        const auto next = std::find_if(above.begin(), above.end(), [&](StepId dependent) {
            return m_dag.outcome(dependent) == work::Dag::Outcome::Open && may(dependent);
        });
        if (next == above.end())
            return JobId(0);
        at = *next;
    }
}

// The job that an attempt of the step is told to be for: of those that want it one that asked for it by name, else one
// that claims it, else one above it; those that are held only when all are.
JobId Farm::jobFor(StepId id) const
{
    const auto isWaitingJob = [](const JobRecord& job) { return isWaiting(job); };
    const auto isOpenJob = [](const JobRecord& job) {
        return job.isOpen() && !work::isCancelAsked(job.progress());
    };
    JobId job = climb(id, isWaitingJob, [this](StepId above) { return !needOf(above).shares.empty(); });
    if (job.value() == 0)
        job = climb(id, isOpenJob, [](StepId) { return true; });
    // Only what is being stopped has none: it is still told to be for a job that claimed it.
    const std::span<const JobId> users = m_dag.users(id);
    return job.value() != 0 || users.empty() ? job : users.front();
}

// Its steps have their place by it: neither held nor cancelled.
bool Farm::isWaiting(const JobRecord& job)
{
    const work::JobProgress& progress = job.progress();
    return !work::isFinished(progress.state) && !progress.held && !work::isCancelAsked(progress);
}

Needs::Claim Farm::claimOf(JobId id, const JobRecord& job) const
{
    return {.job = id,
            .bump = sched::bumpOrder(job.progress().bumped),
            .priority = job.priority,
            .share = m_originStates[job.origin].share,
            .limits = &m_origins.at(job.origin).limits};
}

Needs::ClaimsOf Farm::claims() const
{
    return [this](StepId step, const std::function<void(const Needs::Claim&)>& visit) {
        for (const JobId user : m_dag.users(step))
            if (const JobRecord& job = m_jobs.at(user); isWaiting(job))
                visit(claimOf(user, job));
    };
}

void Farm::claim(StepId step, JobId id, const JobRecord& job)
{
    if (isWaiting(job) && m_dag.outcome(step) == work::Dag::Outcome::Open)
        m_needs.claim(m_dag, step, claimOf(id, job));
}

void Farm::claimAll(JobId id, const JobRecord& job)
{
    for (const JobStep& entry : job.steps)
        if (m_dag.contains(entry.step))
            claim(entry.step, id, job);
}

void Farm::worsenAll(const JobRecord& job)
{
    for (const JobStep& entry : job.steps)
        if (m_dag.contains(entry.step) && m_dag.outcome(entry.step) == work::Dag::Outcome::Open)
            m_needs.worsen(m_dag, entry.step);
}

// Hands down what the batch has changed, and gives what waits its new place.
void Farm::settleNeeds()
{
    for (const StepId id : m_needs.settle(m_dag, claims()))
        requeue(id, m_steps.at(id));
}

// While nothing is handed down yet, the oldest job may have gone.
sched::GateSet Farm::gatesOf(const Needs::View& need) const
{
    const JobRecord* job = m_jobs.find(JobId(need.age));
    return job == nullptr ? sched::GateSet{} : m_originStates[job->origin].gates;
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
            else
                m_needs.worsen(m_dag, id);
        }
}

// Nobody wants it: it ends at once, or when what runs has been stopped.
void Farm::dropStep(StepId id, const std::string& reason)
{
    StepRecord& step = m_steps.at(id);
    if (step.state() == work::StepState::Running) {
        m_dag.unshare(step.work.sharingKey(), id); // a new job gets a step of its own
        m_needs.worsen(m_dag, id);
        return stopAttempt(step.newest, reason);
    }
    if (m_dag.users(id).empty())
        ++m_counters.stepsUnwanted;
    moveStep(id, work::CancelStep{reason});
}

// It is wanted, and has given its key back, or never had it: it stands for its key unless another does.
void Farm::shareAnew(StepId id)
{
    const std::string key = m_steps.at(id).work.sharingKey();
    if (!key.empty() && !liveStepFor(key))
        m_dag.share(key, id);
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
