// SPDX-License-Identifier: GPL-3.0-or-later
// Steps on their way: every change of a step's progress goes through setStep.
#include "server/core/detail/farm.h"

#include "server/work/job.h"
#include "shared/base/check.h"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

namespace penstock::core::detail {

namespace {

void addWait(std::map<std::string, WaitTimes>& waits, const std::string& system, Duration waited)
{
    const bool isShown = waits.size() < kMaxWaitSystems || waits.contains(system);
    WaitTimes& times = waits[isShown ? system : kOtherSystems];
    for (std::size_t at = 0; at < kWaitBounds.size(); ++at)
        times.upTo[at] += waited <= kWaitBounds[at] ? 1U : 0U;
    ++times.count;
    times.sum += waited;
}

} // namespace

void Farm::moveStep(StepId id, const work::StepEvent& event, bool taken)
{
    StepRecord& step = m_steps.at(id);
    // A finished step has given its policy back, and no event but a reopen, which has its own way, moves it.
    if (step.state() == work::StepState::Finished)
        return PENSTOCK_BUG("an event for a finished step");
    const work::RetryRules rules{id, m_policies.at(step.policy).retry, m_options.limits};
    auto moved = work::next(step.progress(), event, rules, m_now);
    if (!moved)
        return PENSTOCK_BUG(moved.error().message);
    setStep(id, step, *std::move(moved), taken);
}

void Farm::setStep(StepId id, StepRecord& step, work::StepProgress progress, bool taken)
{
    const work::StepState from = step.state();
    const work::StepState to = progress.state;
    if (taken)
        step.isQueued = false;
    dequeue(id, step);
    m_planner.placements().count(step.placement, from, -1);
    m_planner.placements().count(step.placement, to, 1);
    step.setProgress(std::move(progress));
    touch(id, step);
    if (to == work::StepState::Finished)
        return finishStep(id, step, from);
    countForJobs(id, from, to);
    enter(id, step);
}

void Farm::countForJobs(StepId id, work::StepState from, work::StepState to)
{
    const bool began = to == work::StepState::Running;
    const bool ended = from == work::StepState::Running;
    if (began == ended)
        return;
    for (const JobId user : m_dag.users(id)) {
        JobRecord& job = m_jobs.at(user);
        if (began)
            ++job.running;
        else
            --job.running;
        m_shownJobs.push_back(user);
        if (began)
            jobStarted(user);
    }
}

void Farm::jobStarted(JobId id)
{
    JobRecord& job = m_jobs.at(id);
    if (job.progress().state != work::JobState::Queued)
        return;
    auto moved = work::next(job.progress(), work::JobStarted{}, m_now);
    if (!moved)
        return PENSTOCK_BUG(moved.error().message);
    job.setProgress(*std::move(moved));
    touch(id, job);
}

void Farm::enter(StepId id, StepRecord& step)
{
    switch (step.state()) {
    case work::StepState::Ready:
        if (!m_needs.isNoted(m_dag, id)) // else at the end of the batch
            enqueue(id, step);
        return;
    case work::StepState::Delayed: {
        const WallTime due = step.progress().retryAt.value_or(m_now.wall);
        step.setRetryDue(m_now.mono + std::max(due - m_now.wall, Duration(0)));
        m_deadlines.add({step.retryDue(), DeadlineKind::StepRetry, id.value()});
        return;
    }
    case work::StepState::Blocked:
    case work::StepState::Running:
    case work::StepState::Finished: return;
    }
}

// Ends the step and all that fails with it. The graph gives everyone that fails once, so nothing recurses.
void Farm::finishStep(StepId id, StepRecord& step, work::StepState from)
{
    const bool good = step.result() && work::isGood(*step.result());
    work::Dag::Consequences after;
    if (m_dag.outcome(id) == work::Dag::Outcome::Open)
        after = m_dag.finish(id, good);
    settleStep(id, step, from);
    for (const auto& [dependent, dependency] : after.failed) {
        StepRecord& failed = m_steps.at(dependent);
        const work::RetryRules rules{dependent, m_policies.at(failed.policy).retry, m_options.limits};
        auto moved = work::next(failed.progress(), work::DependencyFailed{dependency}, rules, m_now);
        if (!moved) {
            PENSTOCK_BUG(moved.error().message);
            continue;
        }
        m_planner.placements().count(failed.placement, failed.state(), -1);
        m_planner.placements().count(failed.placement, work::StepState::Finished, 1);
        if (m_dag.users(dependency).empty()) // its record will leave before those who ask why
            moved->error = fmt::format("{} did not succeed", m_steps.at(dependency).work.name());
        failed.setProgress(*std::move(moved));
        touch(dependent, failed);
        settleStep(dependent, failed, work::StepState::Blocked);
    }
    for (const StepId ready : after.ready)
        moveStep(ready, work::DependenciesDone{});
}

void Farm::settleStep(StepId id, StepRecord& step, work::StepState from)
{
    PENSTOCK_CHECK(step.result().has_value());
    --m_openSteps;
    ++m_counters.stepsFinished;
    m_planner.placements().count(step.placement, work::StepState::Finished, -1);
    m_planner.placements().release(step.placement);
    m_policies.release(step.policy);
    m_dag.unshare(step.work.sharingKey(), id);
    m_needs.clear(m_dag, id);
    const std::vector<JobId> users(m_dag.users(id).begin(), m_dag.users(id).end());
    if (users.empty())
        m_leaving.push_back(id);
    for (const JobId user : users) {
        JobRecord& job = m_jobs.at(user);
        if (!job.isOpen())
            continue;
        if (from == work::StepState::Running)
            --job.running;
        --job.open;
        job.count(*step.result());
        m_shownJobs.push_back(user);
        if (job.open == 0)
            finishJob(user, job);
    }
}

work::JobOver Farm::judge(const JobRecord& job) const
{
    work::JobOver over{.result = work::StepResult::Cached, .exitCode = 0, .signal = 0, .error = {}};
    bool hasRoot = false;
    const auto consider = [&](const StepRecord& step, const work::StepProgress& progress) {
        const work::StepResult result = progress.result.value_or(work::StepResult::Aborted);
        const bool isWorse = !hasRoot || work::worse(over.result, result) != over.result;
        hasRoot = true;
        if (!isWorse)
            return;
        over.result = result;
        over.error = work::isGood(result) ? std::string() : progress.error;
        if (progress.failedDependency) {
            const StepRecord* cause = m_steps.find(*progress.failedDependency);
            over.error = fmt::format("{} was not tried: {} did not succeed", step.work.name(),
                                     cause == nullptr ? std::string("a step it needs") : cause->work.name());
        }
    };
    for (const JobStep& entry : job.steps)
        if (const StepRecord* step = entry.root ? m_steps.find(entry.step) : nullptr)
            consider(*step, step->progress());
    if (!hasRoot) // then whatever it asked for counts
        for (const JobStep& entry : job.steps)
            if (const StepRecord* step = m_steps.find(entry.step))
                consider(*step, step->progress());
    if (job.steps.size() == 1) {
        const StepRecord* step = m_steps.find(job.steps.front().step);
        const AttemptRecord* attempt = step == nullptr ? nullptr : m_attempts.find(step->newest);
        if (attempt != nullptr) {
            over.exitCode = attempt->progress.exitCode;
            over.signal = attempt->progress.signal;
        }
    }
    return over;
}

void Farm::finishJob(JobId id, JobRecord& job)
{
    auto moved = work::next(job.progress(), judge(job), m_now);
    if (!moved)
        return PENSTOCK_BUG(moved.error().message);
    job.setProgress(*std::move(moved));
    job.running = 0;
    touch(id, job);
    --m_openJobs;
    jobCloses(job);
    ++m_counters.jobsFinished;
    m_counters.jobsSucceeded += job.progress().state == work::JobState::Succeeded ? 1U : 0U;
    m_counters.jobsFailed += job.progress().state == work::JobState::Failed ? 1U : 0U;
    m_finished.push_back(id);
    m_finishedSteps += job.steps.size();
}

void Farm::plan()
{
    m_planAgain = false;
    if (!mayStart())
        return;
    sched::VisitBudget budget(m_options.visitsPerPass);
    while (const std::optional<sched::Start> start = m_planner.next(budget, m_now.mono)) {
        if (askChanged(*start))
            askAnew(*start);
        else
            startAttempt(*start);
    }
    m_counters.planVisits += budget.used();
    m_counters.plansCutShort += m_planner.more() ? 1U : 0U;
    m_planAgain = m_planner.more();
}

void Farm::startAttempt(const sched::Start& start)
{
    const StepRecord& ready = m_steps.at(start.step);
    if (const auto since = ready.readySince())
        addWait(m_counters.waits, m_planner.placements().at(ready.placement).system,
                std::max(m_now.wall - *since, Duration(0)));
    moveStep(start.step, work::AttemptStarted{}, true);
    StepRecord& step = m_steps.at(start.step);
    const AttemptId id(++m_marks.attempt);
    const JobId job = jobFor(start.step);
    if (step.newest.value() != 0)
        m_superseded.push_back(step.newest);
    step.newest = id;
    const std::uint32_t number = step.progress().attempts;
    AttemptRecord& attempt = m_attempts.insert(
        id, AttemptRecord{.step = start.step, .job = job, .machine = start.machine, .number = number,
                          .created = m_now.wall, .progress = {}, .phase = {}, .ask = start.ask,
                          .gates = start.gates, .startedAt = m_now.mono, .stopReason = {}});
    shareStarted(attempt);
    m_changes.newAttempts.push_back({id, attempt.step, job, attempt.machine, number, attempt.created, {}});
    MachineRecord& machine = m_machines.at(start.machine);
    machine.running.insert(id);
    machine.idleSince.reset();
    show(start.machine);
    desiredFor(machine).assign.push_back(assignmentFor(id, attempt));
    ++m_counters.attemptsStarted;
    m_counters.retries += number > 1 ? 1 : 0;
    m_counters.mostAttempts = std::max<std::uint64_t>(m_counters.mostAttempts, number);
}

protocol::Assignment Farm::assignmentFor(AttemptId id, const AttemptRecord& attempt) const
{
    using std::chrono::duration_cast;
    using std::chrono::milliseconds;
    const StepRecord& step = m_steps.at(attempt.step);
    protocol::Assignment assignment;
    assignment.attempt = id;
    assignment.step = attempt.step;
    assignment.job = attempt.job;
    assignment.attemptNumber = attempt.number;
    assignment.name = step.work.name();
    work::Work work = step.work.work();
    if (auto* command = std::get_if<work::CommandWork>(&work)) {
        assignment.work = protocol::CommandWork{std::move(command->argv), std::move(command->env)};
    } else if (auto* nix = std::get_if<work::NixWork>(&work)) {
        protocol::NixWork build{std::move(nix->drvPath), {}, {}, {}, {}, {}};
        for (work::NixOutput& output : nix->outputs)
            build.outputs.push_back({std::move(output.name), std::move(output.path), {}, 0});
        build.resolved = resolvedInputs(attempt.step);
        assignment.work = std::move(build);
    }
    // Rounded up: a limit of less than a millisecond is a limit, and zero would mean none.
    const auto limit = [](Duration value) { return std::chrono::ceil<milliseconds>(value); };
    const work::Limits limits = limitsFor(attempt.step);
    assignment.limits = {limit(limits.timeout), limit(limits.silentTimeout), limits.maxLogBytes, milliseconds(0),
                         limits.maxOutputBytes, limits.repeats};
    const work::Resources& granted = m_planner.asks().at(attempt.ask).reserved;
    assignment.cpus = granted.cpus;
    assignment.memoryBytes = granted.memoryBytes;
    assignment.resources = granted.named;
    assignment.beyondSlots = m_options.policy.room == sched::MachineFree::Dynamic;
    return assignment;
}

// What the builds of its dependencies revealed: output paths that the derivation could not name.
std::vector<protocol::ResolvedInput> Farm::resolvedInputs(StepId id) const
{
    std::vector<protocol::ResolvedInput> resolved;
    for (const StepId dependency : m_dag.dependencies(id)) {
        const StepRecord& step = m_steps.at(dependency);
        if (!step.revealsPaths)
            continue;
        for (const work::OutputFact& output : step.progress().revealed)
            resolved.push_back({step.work.sharingKey(), output.name, output.path});
    }
    return resolved;
}

// The most generous of the jobs that need the step, directly or above it; one without a limit lifts it. A step that
// none of them asked for by name gets at least the limits of dependencies, so that a short budget of a test does not
// end what it needs.
work::Limits Farm::limitsFor(StepId id) const
{
    work::Limits all;
    bool isFirst = true;
    bool isRoot = false;
    const auto widen = [&](const work::Limits& limits) {
        all = std::exchange(isFirst, false) ? limits : widest(all, limits);
    };
    if (const work::Limits* above = needOf(id).limits)
        widen(*above);
    for (const JobId user : m_dag.users(id)) {
        const JobRecord& job = m_jobs.at(user);
        if (!job.isOpen())
            continue;
        widen(m_origins.at(job.origin).limits);
        const JobStep* entry = job.find(id);
        isRoot = isRoot || (entry != nullptr && entry->root);
    }
    if (!isRoot && m_options.dependencyLimits != work::Limits{})
        widen(m_options.dependencyLimits);
    return all;
}

void Farm::stepDeadline(const Deadline& deadline)
{
    const StepId id(deadline.id);
    StepRecord* step = m_steps.find(id);
    if (step == nullptr)
        return;
    switch (deadline.kind) {
    case DeadlineKind::StepRetry:
        // The reminder may be of an earlier delay.
        if (step->state() == work::StepState::Delayed && step->retryDue() <= m_now.mono)
            moveStep(id, work::RetryDue{});
        return;
    case DeadlineKind::StepShunEnds:
        step->forgetShunned(m_now.mono);
        requeue(id, *step);
        return;
    case DeadlineKind::MachineGrace:
    case DeadlineKind::QuarantineOver:
    case DeadlineKind::AttemptStop:
    case DeadlineKind::Tick: return;
    }
}

} // namespace penstock::core::detail
