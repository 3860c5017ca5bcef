// SPDX-License-Identifier: GPL-3.0-or-later
// Jobs that people stop or open again, and jobs that are forgotten.
#include "server/core/detail/farm.h"

#include "shared/base/check.h"

#include <algorithm>
#include <fmt/format.h>
#include <set>

namespace penstock::core::detail {

void Farm::on(CancelJob& event)
{
    JobRecord* job = m_jobs.find(event.job);
    if (job == nullptr || !job->isOpen())
        return reply(event.request, fail(ErrorCode::NotFound, fmt::format("no job {}", event.job.value())));
    if (!work::isCancelAsked(job->progress()))
        cancelJob(event.job, *job, event.who);
    reply(event.request, std::variant<Submitted, Done>(Done{}));
}

// What others need goes on without this job; what runs is stopped, and the job ends when the last of it has.
void Farm::cancelJob(JobId id, JobRecord& job, const std::string& who)
{
    const std::string reason = who.empty() ? std::string("cancelled") : "cancelled by " + who;
    auto moved = work::next(job.progress(), work::JobCancelAsked{reason}, m_now);
    if (!moved)
        return PENSTOCK_BUG(moved.error().message);
    job.setProgress(*std::move(moved));
    touch(id, job);
    cancelSteps(id, reason);
}

// From what nothing depends on downwards; what is wanted for others is left to them.
void Farm::cancelSteps(JobId id, const std::string& reason)
{
    JobRecord& job = m_jobs.at(id);
    ++job.open; // held open until all its steps have been seen
    worsenAll(job);
    const JobSteps steps = job.steps;
    const auto forEachOpen = [&](auto visit) {
        for (const JobStep& entry : steps)
            if (const StepRecord* step = m_steps.find(entry.step))
                if (step->state() != work::StepState::Finished)
                    visit(entry.step, *step);
    };
    forEachOpen([&](StepId step, const StepRecord&) {
        if (!isWanted(step))
            dropStep(step, reason);
        dropUnwanted(reason);
    });
    forEachOpen([&](StepId step, const StepRecord& record) {
        if (isWanted(step))
            leaveStep(step, id, record);
    });
    if (--job.open == 0)
        finishJob(id, job);
}

// The step goes on for others.
void Farm::leaveStep(StepId id, JobId jobId, const StepRecord& step)
{
    JobRecord& job = m_jobs.at(jobId);
    m_dag.removeUser(id, jobId);
    --job.open;
    if (step.state() == work::StepState::Running)
        --job.running;
    m_needs.worsen(m_dag, id);
}

// A step that was stopped for a cancelled job goes on for one that was reopened meanwhile: the first waits no longer.
void Farm::releaseCancelled(StepId id)
{
    const StepRecord& step = m_steps.at(id);
    if (step.state() == work::StepState::Finished)
        return;
    shareAnew(id);
    const std::vector<JobId> users(m_dag.users(id).begin(), m_dag.users(id).end());
    for (const JobId user : users) {
        JobRecord& job = m_jobs.at(user);
        if (!work::isCancelAsked(job.progress()))
            continue;
        leaveStep(id, user, step);
        if (job.open == 0)
            finishJob(user, job);
    }
}

Result<void> Farm::checkReopen(const work::StoredJob& stored) const
{
    const JobId id = stored.job.id;
    const JobRecord* known = m_jobs.find(id);
    if ((known != nullptr && known->isOpen()) || !work::isFinished(stored.job.progress.state))
        return fail(ErrorCode::Conflict, fmt::format("job {} is still open", id.value()));
    if (known != nullptr && (known->finishedIn == 0 || known->finishedIn > m_confirmed))
        return fail(ErrorCode::Unavailable,
                    fmt::format("the end of job {} is not stored yet; try again later", id.value()));
    if (m_openSteps + stored.steps.size() > m_options.maxOpenSteps)
        return fail(ErrorCode::Exhausted, fmt::format("{} steps would be open, the limit is {}; wait until some have "
                                                      "finished",
                                                      m_openSteps + stored.steps.size(), m_options.maxOpenSteps));
    std::set<std::string> groups;
    PENSTOCK_TRY_VOID(checkGroup(stored.job.spec, groups));
    if (stored.job.progress.state == work::JobState::Succeeded)
        return fail(ErrorCode::Conflict, fmt::format("job {} succeeded; there is nothing to try again", id.value()));
    PENSTOCK_TRY_VOID(checkBelow(stored));
    for (const work::StepRow& row : stored.steps) {
        const StepRecord* step = m_steps.find(row.id);
        if (step == nullptr || !step->result() || work::isGood(*step->result()))
            continue;
        for (const JobId user : m_dag.users(row.id)) {
            const JobRecord& other = m_jobs.at(user);
            if (other.isOpen())
                return fail(ErrorCode::Conflict,
                            fmt::format("step {} failed and is shared with job {}, which is still open; try again "
                                        "when that has finished",
                                        row.id.value(), user.value()));
            if (other.finishedIn == 0 || other.finishedIn > m_confirmed)
                return fail(ErrorCode::Unavailable,
                            fmt::format("the end of job {} is not stored yet; try again later", user.value()));
        }
    }
    return {};
}

// A job that claims only its roots cannot bring back what is below them: no row says what became of it for this job.
Result<void> Farm::checkBelow(const work::StoredJob& stored) const
{
    std::map<StepId, bool> rows; // to: it will be opened
    for (const work::StepRow& row : stored.steps)
        rows.emplace(row.id, !row.progress.result || !work::isGood(*row.progress.result));
    for (const work::DependencyRow& edge : stored.dependencies) {
        const auto above = rows.find(edge.step);
        if (above == rows.end() || !above->second || rows.contains(edge.dependsOn))
            continue;
        if (!m_dag.contains(edge.dependsOn) || m_dag.outcome(edge.dependsOn) == work::Dag::Outcome::Bad)
            return fail(ErrorCode::Conflict,
                        fmt::format("job {} cannot be opened again: step {}, which it needs and does not list, did not "
                                    "succeed and is gone; submit the job anew",
                                    stored.job.id.value(), edge.dependsOn.value()));
    }
    return {};
}

void Farm::on(ReopenJob& event)
{
    if (auto checked = checkReopen(event.stored); !checked)
        return reply(event.request, fail(std::move(checked).error()));
    // Recently finished jobs that share a failed step with it are forgotten with it: their rows are in the store.
    std::vector<JobId> forgotten{event.stored.job.id};
    for (const work::StepRow& row : event.stored.steps)
        if (const StepRecord* step = m_steps.find(row.id);
            step != nullptr && step->result() && !work::isGood(*step->result()))
            for (const JobId user : m_dag.users(row.id))
                forgotten.push_back(user);
    for (const JobId id : forgotten)
        forgetFinished(id);
    reopen(event.stored);
    reply(event.request, std::variant<Submitted, Done>(Done{}));
}

void Farm::reopen(work::StoredJob& stored)
{
    const JobId id = stored.job.id;
    auto fresh = work::next(stored.job.progress, work::JobReopened{}, m_now);
    if (!fresh)
        return PENSTOCK_BUG(fresh.error().message);
    stored.job.progress = *std::move(fresh);
    std::vector<work::StepRow> added;
    for (work::StepRow& row : stored.steps) {
        if (m_steps.find(row.id) != nullptr)
            continue;
        const bool good = row.progress.result && work::isGood(*row.progress.result);
        if (!good) {
            // The rows of a finished job are finished; one cut off by a crash between two batches starts anew as well.
            const std::uint32_t attempts = row.progress.attempts;
            row.progress = work::StepProgress{};
            row.progress.attempts = attempts;
        }
        added.push_back(std::move(row));
    }
    stored.steps = std::move(added);
    if (auto loaded = loadSteps(stored.steps); !loaded)
        return PENSTOCK_BUG(loaded.error().message);
    std::vector<work::DependencyRow> edges;
    std::vector<StepId> opened;
    for (const work::StepRow& row : stored.steps)
        opened.push_back(row.id);
    std::sort(opened.begin(), opened.end());
    for (const work::DependencyRow& row : stored.dependencies)
        if (std::binary_search(opened.begin(), opened.end(), row.step))
            edges.push_back(row);
    if (auto loaded = loadDependencies(edges); !loaded)
        return PENSTOCK_BUG(loaded.error().message);
    if (auto loaded = loadJobs({&stored.job, 1}, stored.jobSteps); !loaded)
        return PENSTOCK_BUG(loaded.error().message);
    for (const StepId step : opened)
        if (StepRecord& record = m_steps.at(step); record.state() != work::StepState::Finished)
            touch(step, record);
    touch(id, m_jobs.at(id));
    resumeSteps(opened);
    resumeJobs({&id, 1});
}

void Farm::forgetFinished(JobId id)
{
    const JobRecord* job = m_jobs.find(id);
    if (job == nullptr || job->isOpen())
        return;
    std::erase(m_finished, id);
    forgetJob(id);
}

// Takes a finished job and the steps that nobody else needs out of memory; the store has them.
void Farm::forgetJob(JobId id)
{
    JobRecord& job = m_jobs.at(id);
    m_finishedSteps -= job.steps.size();
    std::vector<StepId> gone;
    for (const JobStep& entry : job.steps) {
        StepRecord* step = m_steps.find(entry.step);
        if (step == nullptr)
            continue;
        m_dag.removeUser(entry.step, id);
        if (mayLeave(entry.step, *step))
            gone.push_back(entry.step);
    }
    removeSteps(gone);
    if (job.key != nullptr) {
        m_oldKeys.emplace_back(m_origins.at(job.origin).nameSpace, *job.key);
        while (m_oldKeys.size() > m_options.keysKept) {
            m_keys.erase(m_oldKeys.front());
            m_oldKeys.pop_front();
        }
    }
    releaseOrigin(job.origin);
    m_jobs.erase(id);
}

} // namespace penstock::core::detail
