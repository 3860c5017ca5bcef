// SPDX-License-Identifier: GPL-3.0-or-later
// Rebuilds the farm from its rows. Rows that contradict each other are Corrupt: guessing would lose work silently.
// What a crash between two batches may leave behind is continued as if the event came now.
#include "server/core/detail/farm.h"

#include "shared/base/check.h"

#include <algorithm>
#include <fmt/format.h>

namespace penstock::core::detail {

Result<std::vector<Command>> Farm::recover(const work::Recovery& recovery, Now now)
{
    begin(now);
    m_marks = recovery.marks;
    m_storedMarks = recovery.marks;
    for (const auto& [key, job] : recovery.keys) {
        m_keys.insert_or_assign(key, job);
        m_oldKeys.push_back(key);
    }
    loadFarm(recovery);
    PENSTOCK_TRY_VOID(loadMachines(recovery));
    PENSTOCK_TRY_VOID(loadSteps(recovery.steps));
    PENSTOCK_TRY_VOID(loadDependencies(recovery.dependencies));
    PENSTOCK_TRY_VOID(loadJobs(recovery.jobs, recovery.jobSteps));
    settleGraph();
    static_cast<void>(m_needs.settle(m_dag, claims())); // nothing is queued yet
    PENSTOCK_TRY_VOID(loadAttempts(recovery));
    // A key of an open job is forgotten with that job, not as one of the old ones.
    std::erase_if(m_oldKeys, [this](const auto& key) {
        const auto found = m_keys.find(key);
        return found == m_keys.end() || m_jobs.find(found->second) != nullptr;
    });
    std::vector<StepId> steps;
    steps.reserve(recovery.steps.size());
    for (const work::StepRow& row : recovery.steps)
        steps.push_back(row.id);
    std::sort(steps.begin(), steps.end());
    std::vector<JobId> jobs;
    jobs.reserve(recovery.jobs.size());
    for (const work::JobRow& row : recovery.jobs)
        jobs.push_back(row.id);
    std::sort(jobs.begin(), jobs.end());
    resumeSteps(steps);
    resumeJobs(jobs);
    dropUnwanted();
    for (const StepId id : steps) // left behind by what a crash has cut off
        if (const StepRecord& step = m_steps.at(id); step.state() == work::StepState::Finished)
            m_leaving.push_back(id);
        else if (!isWanted(id))
            dropStep(id, "no job needs it");
    dropUnwanted();
    runDeadlines();
    dropUnwanted();
    for (const StepId id : steps) // one that is being stopped may have been loaded before what stands for its key
        if (m_dag.outcome(id) == work::Dag::Outcome::Open && isWanted(id))
            shareAnew(id);
    settleGraph();
    settleNeeds();
    armTick();
    return end();
}

Result<void> Farm::loadMachines(const work::Recovery& recovery)
{
    for (const work::MachineRow& row : recovery.machines) {
        if (row.id.value() == 0 || row.id.value() > m_marks.machine || m_machines.find(row.id) != nullptr ||
            !m_identities.emplace(row.identity, row.id).second)
            return fail(ErrorCode::Corrupt,
                        fmt::format("machine {} is stored twice or beyond the id mark {}", row.id.value(),
                                    m_marks.machine));
        MachineRecord machine(row);
        machine.rowSequence = 0;
        machine.facts.name = row.name;
        machine.graceEnds = m_now.mono + m_options.reconnectGrace;
        resumeHealth(row.id, m_machines.insert(row.id, std::move(machine)));
    }
    return {};
}

Result<void> Farm::loadSteps(std::span<const work::StepRow> steps)
{
    for (const work::StepRow& row : steps) {
        if (row.id.value() == 0 || row.id.value() > m_marks.step || m_steps.find(row.id) != nullptr)
            return fail(ErrorCode::Corrupt, fmt::format("step {} is stored twice or beyond the id mark {}",
                                                        row.id.value(), m_marks.step));
        const bool finished = row.progress.state == work::StepState::Finished;
        if (finished != row.progress.result.has_value())
            return fail(ErrorCode::Corrupt,
                        fmt::format("step {} is {} but {} a result", row.id.value(),
                                    work::toString(row.progress.state), finished ? "lacks" : "has"));
        const bool good = finished && work::isGood(*row.progress.result);
        m_dag.add(row.id,
                  !finished ? work::Dag::Outcome::Open : (good ? work::Dag::Outcome::Good : work::Dag::Outcome::Bad),
                  weightOf(row.spec.name));
        const std::string& key = row.spec.sharingKey();
        if (!key.empty() && !finished && !liveStepFor(key))
            m_dag.share(key, row.id);
        addStep(row.id, row.spec, row.created, row.progress);
    }
    return {};
}

Result<void> Farm::loadDependencies(std::span<const work::DependencyRow> rows)
{
    for (const work::DependencyRow& row : rows) {
        if (!m_dag.contains(row.step))
            return fail(ErrorCode::Corrupt,
                        fmt::format("step {} is not stored, but its dependency on step {} is", row.step.value(),
                                    row.dependsOn.value()));
        // What is not loaded has ended well and has nothing more to tell.
        if (m_dag.contains(row.dependsOn))
            m_dag.addDependency(row.step, row.dependsOn);
    }
    return {};
}

Result<void> Farm::loadJobs(std::span<const work::JobRow> jobs, std::span<const work::JobStepRow> links)
{
    std::vector<JobId> loaded;
    for (const work::JobRow& row : jobs) {
        if (row.id.value() == 0 || row.id.value() > m_marks.job || m_jobs.find(row.id) != nullptr ||
            work::isFinished(row.progress.state))
            return fail(ErrorCode::Corrupt,
                        fmt::format("job {} is stored twice, finished, or beyond the id mark {}", row.id.value(),
                                    m_marks.job));
        addJob(row);
        loaded.push_back(row.id);
    }
    std::vector<work::JobStepRow> sorted(links.begin(), links.end());
    std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
        return std::pair(a.job, a.step) < std::pair(b.job, b.step);
    });
    for (const work::JobStepRow& link : sorted) {
        JobRecord* job = m_jobs.find(link.job);
        StepRecord* step = m_steps.find(link.step);
        if (job == nullptr || step == nullptr)
            return fail(ErrorCode::Corrupt, fmt::format("job {} needs step {}, and one of them is not stored",
                                                        link.job.value(), link.step.value()));
        job->steps.push_back({link.step, link.root});
        m_dag.addUser(link.step, link.job);
    }
    for (const JobId id : loaded) {
        JobRecord& job = m_jobs.at(id);
        countJobSteps(job);
        claimAll(id, job);
    }
    return {};
}

Result<void> Farm::loadAttempts(const work::Recovery& recovery)
{
    for (const work::AttemptRow& row : recovery.attempts) {
        StepRecord* step = m_steps.find(row.step);
        MachineRecord* machine = m_machines.find(row.machine);
        if (row.id.value() == 0 || row.id.value() > m_marks.attempt || step == nullptr || machine == nullptr ||
            m_attempts.find(row.id) != nullptr || row.progress.state == work::AttemptState::Ended)
            return fail(ErrorCode::Corrupt,
                        fmt::format("attempt {} of step {} on machine {} is stored twice or refers to nothing",
                                    row.id.value(), row.step.value(), row.machine.value()));
        if (step->state() != work::StepState::Running || step->newest.value() != 0)
            return fail(ErrorCode::Corrupt, fmt::format("attempt {} is live, but step {} is {}", row.id.value(),
                                                        row.step.value(), work::toString(step->state())));
        step->newest = row.id;
        const Needs::View need = needOf(row.step);
        sched::GateSet gates = gatesOf(need);
        if (const JobRecord* job = m_jobs.find(row.job); job != nullptr && need.shares.empty())
            gates = m_originStates[job->origin].gates; // all are held or stopped: it runs for this one
        AttemptRecord& attempt = m_attempts.insert(
            row.id, AttemptRecord{.step = row.step, .job = row.job, .machine = row.machine, .number = row.number,
                                  .created = row.created, .progress = row.progress, .phase = {},
                                  .ask = m_planner.asks().acquire(askOf(*step)), .gates = gates,
                                  .startedAt = m_now.mono, .stopReason = {}});
        m_planner.enterGates(attempt.ask, attempt.gates);
        shareStarted(attempt);
        if (machine->running.empty())
            m_deadlines.add({machine->graceEnds, DeadlineKind::MachineGrace, row.machine.value()});
        machine->running.insert(row.id);
        if (isProbeJob(row.job))
            machine->probe = row.id;
    }
    return {};
}

// What does not hang on jobs: shares, limits, use, experience, a pause.
void Farm::loadFarm(const work::Recovery& recovery)
{
    for (const work::ShareGroupRow& row : recovery.shareGroups)
        setShares(row);
    for (const work::NamespaceRow& row : recovery.namespaces)
        m_namespaces.insert_or_assign(row.name, row);
    m_ledger.load(recovery.usage, m_now);
    m_history.load(recovery.history);
    m_pause = recovery.pause;
}

// Puts each step where its state belongs. Ascending, so that dependencies mostly come first.
void Farm::resumeSteps(std::span<const StepId> steps)
{
    settleGraph();
    for (const StepId id : steps) {
        StepRecord& step = m_steps.at(id);
        switch (step.state()) {
        case work::StepState::Ready:
        case work::StepState::Delayed: enter(id, step); break;
        case work::StepState::Running:
            if (step.newest.value() == 0) { // its attempt has ended, the step was not told
                work::StepProgress progress = step.progress();
                progress.state = work::StepState::Ready;
                progress.readySince = m_now.wall;
                setStep(id, step, std::move(progress), true);
            }
            break;
        case work::StepState::Blocked:
        case work::StepState::Finished: break;
        }
    }
    for (const StepId id : steps) {
        if (m_steps.at(id).state() != work::StepState::Blocked)
            continue;
        const auto below = m_dag.dependencies(id);
        const auto bad = std::find_if(below.begin(), below.end(), [this](StepId dependency) {
            return m_dag.outcome(dependency) == work::Dag::Outcome::Bad;
        });
        if (bad != below.end())
            moveStep(id, work::DependencyFailed{*bad});
        else if (m_dag.waitsFor(id) == 0)
            moveStep(id, work::DependenciesDone{});
    }
}

void Farm::resumeJobs(std::span<const JobId> jobs)
{
    for (const JobId id : jobs) {
        JobRecord& job = m_jobs.at(id);
        if (!job.isOpen())
            continue;
        m_shownJobs.push_back(id);
        if (job.open == 0) {
            finishJob(id, job);
            continue;
        }
        if (isProbeJob(id) && job.running == 0)
            m_probesOver.push_back(id); // its attempt ended, and nobody was told
        if (!work::isCancelAsked(job.progress()))
            continue;
        // The stop may not have been sent before the crash; who asked is in the job's error.
        cancelSteps(id, std::string(job.progress().error));
    }
}

} // namespace penstock::core::detail
