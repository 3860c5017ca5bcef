// SPDX-License-Identifier: GPL-3.0-or-later
// Machines that fail by their own fault: what is counted, quarantine, and the probe that ends it. The probe is a job of
// the namespace "penstock" that runs `true` on that machine the way any command runs, log and result and all.
#include "server/core/detail/farm.h"

#include "shared/base/check.h"

#include <algorithm>
#include <fmt/format.h>

namespace penstock::core::detail {
namespace {

constexpr Duration kProbeTimeout = std::chrono::minutes(1);

bool runsCommands(const MachineRecord& machine)
{
    return std::ranges::count(machine.facts.executors, "command") > 0;
}

JobRequest probeJob(const std::string& machine)
{
    JobRequest job;
    job.spec.name = "probe " + machine;
    job.spec.user = kOwnNamespace;
    job.spec.nameSpace = kOwnNamespace;
    job.spec.shareGroup = kOwnNamespace;
    job.spec.limits.timeout = kProbeTimeout;
    job.spec.definition = "{}";
    StepRequest step;
    step.spec.name = job.spec.name;
    step.spec.placement.executor = "command";
    step.spec.placement.machines = {machine};
    step.spec.work = std::make_shared<const work::Work>(work::CommandWork{{"/bin/sh", "-c", "true"}, {}});
    job.steps.push_back(std::move(step));
    return job;
}

} // namespace

bool Farm::isProbeJob(JobId id) const
{
    const JobRecord* job = m_jobs.find(id);
    return job != nullptr && m_origins.at(job->origin).nameSpace == kOwnNamespace;
}

// What the end of an attempt says about its machine.
void Farm::judgeMachine(const AttemptRecord& attempt, AttemptId id, work::AttemptEnd end)
{
    MachineRecord& machine = m_machines.at(attempt.machine);
    const bool isProbe = isProbeJob(attempt.job);
    switch (end) {
    case work::AttemptEnd::Infrastructure:
        // A builder that was killed reports all that it ran: one mishap, and its being back is the answer to it.
        if (!isProbe && attempt.startedAt < machine.restartedAt)
            break;
        changeHealth(attempt.machine, machine,
                     work::MachineFailed{machine.lastFailed == attempt.step, attempt.progress.error});
        machine.lastFailed = attempt.step;
        break;
    case work::AttemptEnd::Lost:
    case work::AttemptEnd::Rejected:
        if (isProbe)
            changeHealth(attempt.machine, machine, work::MachineFailed{false, attempt.progress.error});
        break;
    case work::AttemptEnd::Cancelled:
        if (isProbe)
            resumeHealth(attempt.machine, machine); // somebody took the probe away: another
        break;
    case work::AttemptEnd::Succeeded:
    case work::AttemptEnd::Cached:
    case work::AttemptEnd::Failed:
    case work::AttemptEnd::TimedOut:
    case work::AttemptEnd::SilentTimedOut:
    case work::AttemptEnd::LogLimit:
    case work::AttemptEnd::OutputLimit:
    case work::AttemptEnd::NotDeterministic:
    case work::AttemptEnd::Transient:
        changeHealth(attempt.machine, machine, work::MachineDidWell{isProbe});
        machine.lastFailed = StepId(0);
        break;
    }
    if (!isProbe)
        return;
    if (machine.probe == id)
        machine.probe = AttemptId(0);
    m_probesOver.push_back(attempt.job); // one that failed is not tried again: the next quarantine has its own
}

void Farm::changeHealth(MachineId id, MachineRecord& machine, const work::HealthEvent& event)
{
    work::MachineHealth health = work::next(machine.row.health, event, m_options.health, m_now);
    if (health == machine.row.health)
        return;
    const work::HealthState before = machine.row.health.state;
    machine.row.health = std::move(health);
    persistMachine(machine);
    const work::HealthState state = machine.row.health.state;
    if (state == work::HealthState::Quarantined && before != state)
        ++m_counters.quarantines;
    resumeHealth(id, machine);
    refreshStatus(id, machine);
    show(id);
}

// What a state of health asks for, also after a restart.
void Farm::resumeHealth(MachineId id, MachineRecord& machine)
{
    switch (machine.row.health.state) {
    case work::HealthState::Quarantined: {
        const Duration left = machine.row.health.until.value_or(m_now.wall) - m_now.wall;
        machine.quarantineEnds = m_now.mono + std::max(left, Duration(0));
        m_deadlines.add({machine.quarantineEnds, DeadlineKind::QuarantineOver, id.value()});
        return;
    }
    case work::HealthState::Probing: m_toProbe.push_back(id); return;
    case work::HealthState::Healthy:
    case work::HealthState::Parole: return;
    }
}

// At the end of a batch, so that nothing is in the middle of anything.
void Farm::runProbes()
{
    for (const JobId id : std::exchange(m_probesOver, {}))
        if (JobRecord* job = m_jobs.find(id); job != nullptr && job->isOpen() && !work::isCancelAsked(job->progress()))
            cancelJob(id, *job, "the farm");
    for (const MachineId id : std::exchange(m_toProbe, {})) {
        MachineRecord* machine = m_machines.find(id);
        if (machine == nullptr || machine->row.health.state != work::HealthState::Probing ||
            machine->probe.value() != 0 || machine->link != Link::Ready || machine->isDraining())
            continue; // when it connects, it comes here again
        if (!mayStart()) {
            m_waitingProbes.push_back(id);
            continue;
        }
        if (!runsCommands(*machine)) { // its first real step is the probe
            changeHealth(id, *machine, work::MachineDidWell{true});
            continue;
        }
        JobRequest request = probeJob(machine->row.name);
        const JobId job = insertJob(request);
        ++m_counters.probes;
        const StepId step = m_jobs.at(job).steps.front().step;
        machine->probe = startOn(step, id);
    }
    m_toProbe = std::exchange(m_waitingProbes, {});
}

// Starts a ready step on a machine that the planner would not choose.
AttemptId Farm::startOn(StepId id, MachineId machine)
{
    StepRecord& step = m_steps.at(id);
    const sched::AskIndex ask = m_planner.asks().acquire(askOf(step));
    dequeue(id, step);
    const sched::GateSet gates = gatesOf(needOf(id));
    m_planner.enterGates(ask, gates);
    m_planner.takeRoom(machine, ask);
    startAttempt({id, machine, ask, gates});
    return step.newest;
}

} // namespace penstock::core::detail
