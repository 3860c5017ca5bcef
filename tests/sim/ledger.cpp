// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/ledger.h"

#include "server/core/event.h"

#include <algorithm>
#include <fmt/format.h>

namespace penstock::sim {

using work::AttemptEnd;
using work::AttemptState;
using work::StepState;

void Ledger::committed(const work::Changes& changes)
{
    for (const work::MachineRow& row : changes.machines) {
        m_machines.insert(row.id);
        if (m_liars.contains(row.identity))
            m_lyingMachines.insert(row.id);
    }
    for (const work::JobRow& row : changes.newJobs) {
        if (row.spec.nameSpace == core::kOwnNamespace) // a probe, which the farm gives up by itself
            m_cancelAsked.insert(row.id);
        if (!m_jobs.emplace(row.id, row.progress).second)
            m_world.violate(fmt::format("job {} was inserted twice", row.id.value()));
    }
    for (const work::StepRow& row : changes.newSteps) {
        Step step;
        step.progress = row.progress;
        if (!m_steps.emplace(row.id, std::move(step)).second)
            m_world.violate(fmt::format("step {} was inserted twice", row.id.value()));
        m_openSteps += row.progress.state == StepState::Finished ? 0 : 1;
    }
    for (const work::DependencyRow& row : changes.dependencies)
        m_steps[row.step].dependsOn.insert(row.dependsOn);
    for (const work::JobStepRow& row : changes.jobSteps) {
        m_steps[row.step].jobs.insert(row.job);
        if (m_steps[row.step].jobs.size() > 1)
            m_world.reach("step.shared");
    }
    // Ends before starts: one batch may hold the loss of an attempt and its successor.
    for (const work::AttemptUpdate& update : changes.attempts)
        updateAttempt(update);
    for (const work::AttemptRow& row : changes.newAttempts)
        checkAttempt(row);
    for (const work::StepUpdate& update : changes.steps)
        updateStep(update);
    for (const work::AttemptRow& row : changes.newAttempts)
        checkDependencies(row.step);
    for (const work::JobUpdate& update : changes.jobs)
        updateJob(update);
    m_rules.committed(changes);
}

bool Ledger::isLive(AttemptId attempt) const
{
    const auto found = m_attempts.find(attempt);
    return found != m_attempts.end() && found->second.progress.state != AttemptState::Ended;
}

void Ledger::checkAttempt(const work::AttemptRow& row)
{
    if (!m_attempts.empty() && m_attempts.rbegin()->first >= row.id)
        m_world.violate(fmt::format("attempt {} does not grow", row.id.value()));
    Step& step = m_steps[row.step];
    if (step.live.value() != 0)
        m_world.violate(fmt::format("step {} got attempt {} while {} is live", row.step.value(),
                                    row.id.value(), step.live.value()));
    step.live = row.id;
    m_attempts.emplace(row.id, Attempt{row.step, row.machine, row.progress});
}

void Ledger::checkDependencies(StepId step)
{
    for (const StepId dependency : m_steps[step].dependsOn) {
        const auto& result = m_steps[dependency].progress.result;
        if (!result || !work::isGood(*result))
            m_world.violate(fmt::format("step {} started before its dependency {} succeeded", step.value(),
                                        dependency.value()));
    }
}

void Ledger::updateAttempt(const work::AttemptUpdate& update)
{
    const auto found = m_attempts.find(update.id);
    if (found == m_attempts.end())
        return m_world.violate(fmt::format("attempt {} was updated before it was stored", update.id.value()));
    Attempt& attempt = found->second;
    if (attempt.progress.state == AttemptState::Ended)
        return m_world.violate(fmt::format("attempt {} changed after its end", update.id.value()));
    attempt.progress = update.progress;
    if (update.progress.state != AttemptState::Ended)
        return;
    m_steps[attempt.step].live = AttemptId(0);
    const AttemptEnd end = *update.progress.end;
    m_world.reach(fmt::format("attempt.{}", work::toString(end)));
    const bool isReported =
        end == AttemptEnd::Succeeded || end == AttemptEnd::Cached || end == AttemptEnd::Failed;
    const auto truth = m_executions.find(update.id);
    if (end == AttemptEnd::Lost && truth != m_executions.end())
        ++m_lostWhileRunning;
    const bool hasEnded = truth != m_executions.end() && truth->second.has_value();
    const bool isHonest = !m_lyingMachines.contains(attempt.machine);
    if (isReported && isHonest && !hasEnded)
        m_world.violate(
            fmt::format("attempt {} ended as {}, but it never did", update.id.value(), work::toString(end)));
    if (end == AttemptEnd::Succeeded && isHonest && hasEnded && truth->second != protocol::Outcome::Succeeded)
        m_world.violate(fmt::format("attempt {} is stored as succeeded, but was not", update.id.value()));
    if (end == AttemptEnd::Succeeded && ++m_steps[attempt.step].succeeded > 1)
        m_world.violate(fmt::format("step {} succeeded twice", attempt.step.value()));
}

bool Ledger::mayReopen(StepId id) const
{
    const Step& step = m_steps.at(id);
    return std::any_of(step.jobs.begin(), step.jobs.end(),
                       [this](JobId job) { return m_reopens.contains(job); });
}

void Ledger::updateStep(const work::StepUpdate& update)
{
    const auto found = m_steps.find(update.id);
    if (found == m_steps.end())
        return m_world.violate(fmt::format("step {} was updated before it was stored", update.id.value()));
    work::StepProgress& before = found->second.progress;
    if (before.state == StepState::Finished && !(before == update.progress)) {
        if (work::isGood(*before.result) || !mayReopen(update.id))
            return m_world.violate(fmt::format("step {} changed after its end", update.id.value()));
        m_world.reach("step.reopened");
    }
    if (update.progress.state == StepState::Finished && before.state != StepState::Finished)
        --m_openSteps;
    if (update.progress.state != StepState::Finished && before.state == StepState::Finished)
        ++m_openSteps;
    before = update.progress;
    if (update.progress.result)
        m_world.reach(fmt::format("step.{}", work::toString(*update.progress.result)));
    if ((update.progress.state == StepState::Running) != (found->second.live.value() != 0))
        m_world.violate(fmt::format("step {} is stored as {}, its attempts say otherwise", update.id.value(),
                                    work::toString(update.progress.state)));
}

void Ledger::updateJob(const work::JobUpdate& update)
{
    const auto found = m_jobs.find(update.id);
    if (found == m_jobs.end())
        return m_world.violate(fmt::format("job {} was updated before it was stored", update.id.value()));
    if (work::isFinished(found->second.state) && !(found->second == update.progress) &&
        !m_reopens.contains(update.id))
        return m_world.violate(fmt::format("job {} changed after its end", update.id.value()));
    found->second = update.progress;
    if (update.progress.state == work::JobState::Cancelled && !m_cancelAsked.contains(update.id))
        m_world.violate(fmt::format("job {} is cancelled, but nobody asked", update.id.value()));
    if (work::isFinished(update.progress.state))
        m_world.reach(fmt::format("job.{}", work::toString(update.progress.state)));
}

void Ledger::sent(const protocol::ServerMessage& message)
{
    const auto* welcome = std::get_if<protocol::Welcome>(&message);
    if (welcome != nullptr && !m_machines.contains(welcome->machine))
        m_world.violate(
            fmt::format("machine {} was welcomed before it was stored", welcome->machine.value()));
    if (const auto* stored = std::get_if<protocol::ResultStored>(&message))
        for (const AttemptId id : stored->attempts) {
            const auto found = m_attempts.find(id);
            if (found != m_attempts.end() && found->second.progress.state != AttemptState::Ended)
                m_world.violate(fmt::format("the result of attempt {} was acknowledged before it was stored",
                                            id.value()));
        }
    if (const auto* desired = std::get_if<protocol::Desired>(&message)) {
        for (const protocol::Assignment& assignment : desired->assign) {
            if (!m_attempts.contains(assignment.attempt))
                m_world.violate(
                    fmt::format("attempt {} was sent before it was stored", assignment.attempt.value()));
            if (!m_assigned.insert(assignment.attempt).second)
                m_world.reach("assignment.sent_again");
        }
        for (const protocol::StopOrder& stop : desired->stop) {
            const auto found = m_attempts.find(stop.attempt);
            if (found == m_attempts.end() || found->second.progress.state == AttemptState::Ended)
                m_world.reach("stop.fenced");
            else
                m_world.reach("stop.cancelled");
        }
    }
}

void Ledger::acknowledged(const std::vector<JobId>& jobs)
{
    for (const JobId job : jobs) {
        if (!m_jobs.contains(job))
            m_world.violate(fmt::format("job {} was acknowledged before it was stored", job.value()));
        m_acknowledged.push_back(job);
    }
}

void Ledger::reopenAsked(JobId job)
{
    ++m_reopens[job];
}

void Ledger::started(AttemptId id, StepId stepId)
{
    if (!m_executions.emplace(id, std::nullopt).second)
        m_world.violate(fmt::format("attempt {} was run twice", id.value()));
    Step& step = m_steps[stepId];
    for (const AttemptId other : step.executing) {
        const bool isLate = m_attempts.at(id).progress.state == AttemptState::Ended;
        if (!isLate && m_attempts.at(other).progress.state != AttemptState::Ended)
            m_world.violate(fmt::format("step {} runs as attempt {} while {} is live", stepId.value(),
                                        id.value(), other.value()));
        m_world.reach("execution.fenced_one_goes_on");
    }
    step.executing.insert(id);
}

void Ledger::ended(AttemptId id, StepId step, protocol::Outcome outcome)
{
    m_executions[id] = outcome;
    m_steps[step].executing.erase(id);
}

void Ledger::killed(AttemptId id, StepId step)
{
    m_steps[step].executing.erase(id);
}

std::size_t Ledger::unfinished() const
{
    return static_cast<std::size_t>(std::count_if(m_jobs.begin(), m_jobs.end(), [](const auto& entry) {
        return !work::isFinished(entry.second.state);
    }));
}

std::vector<JobId> Ledger::finishedBadly() const
{
    std::vector<JobId> jobs;
    for (const auto& [id, progress] : m_jobs)
        if (progress.state == work::JobState::Failed || progress.state == work::JobState::Cancelled)
            jobs.push_back(id);
    return jobs;
}

void Ledger::checkEnd()
{
    for (const JobId job : m_acknowledged)
        if (!m_jobs.contains(job) || !work::isFinished(m_jobs.at(job).state))
            m_world.violate(fmt::format("job {} was acknowledged and never ended", job.value()));
    for (const auto& [id, step] : m_steps)
        if (step.progress.state != StepState::Finished)
            m_world.violate(fmt::format("step {} never ended", id.value()));
    for (const auto& [id, attempt] : m_attempts)
        if (attempt.progress.state != AttemptState::Ended)
            m_world.violate(fmt::format("attempt {} never ended", id.value()));
}

} // namespace penstock::sim
