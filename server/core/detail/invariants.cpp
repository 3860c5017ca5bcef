// SPDX-License-Identifier: GPL-3.0-or-later
// What must hold between two batches. Walks over everything; the simulator calls it after every event.
#include "server/core/detail/farm.h"

#include <algorithm>
#include <fmt/format.h>

namespace penstock::core::detail {
namespace {

template <class... Args> tl::unexpected<Error> broken(fmt::format_string<Args...> format, Args&&... args)
{
    return fail(ErrorCode::Internal, fmt::format(format, std::forward<Args>(args)...));
}

} // namespace

Result<void> Farm::checkInvariants() const
{
    PENSTOCK_TRY_VOID(m_dag.check());
    PENSTOCK_TRY_VOID(m_planner.check());
    PENSTOCK_TRY_VOID(checkJobs());
    PENSTOCK_TRY_VOID(checkNeeds());
    PENSTOCK_TRY_VOID(checkSteps());
    PENSTOCK_TRY_VOID(checkAttempts());
    PENSTOCK_TRY_VOID(checkMachines());
    return {};
}

Result<void> Farm::checkJobs() const
{
    Result<void> result;
    std::uint64_t open = 0;
    m_jobs.forEach([&](JobId id, const JobRecord& job) {
        if (!result)
            return;
        std::uint32_t unfinished = 0;
        std::uint32_t running = 0;
        for (const JobStep& entry : job.steps) {
            const StepRecord* step = m_steps.find(entry.step);
            const bool mine = step != nullptr && std::ranges::count(m_dag.users(entry.step), id) == 1;
            if (!mine)
                continue; // another job's now
            unfinished += step->state() != work::StepState::Finished ? 1U : 0U;
            running += step->state() == work::StepState::Running ? 1U : 0U;
        }
        open += job.isOpen() ? 1U : 0U;
        if (unfinished != job.open)
            result = broken("job {} says {} steps are open, but {} are", id.value(), job.open, unfinished);
        else if (running != job.running)
            result = broken("job {} says {} steps run, but {} do", id.value(), job.running, running);
        else if (job.isOpen() == (unfinished == 0))
            result = broken("job {} is {} with {} open steps", id.value(), work::toString(job.progress().state),
                            unfinished);
        else if (job.isOpen() == (std::ranges::count(m_finished, id) == 1))
            result = broken("job {} is {} and {} in the finished ones", id.value(),
                            work::toString(job.progress().state), job.isOpen() ? "is" : "is not");
    });
    if (result && open != m_openJobs)
        result = broken("{} jobs are open, counted {}", open, m_openJobs);
    std::size_t groups = 0;
    for (const auto& [share, state] : m_shares) {
        const auto found = m_openGroups.find(state.name);
        if ((state.openJobs > 0) != (found != m_openGroups.end() && found->second == share))
            result = broken("share group {} has {} open jobs and is not among the open ones as it should be",
                            state.name, state.openJobs);
        groups += state.openJobs > 0 ? 1U : 0U;
    }
    if (result && groups != m_openGroups.size())
        result = broken("{} share groups are open, counted {}", groups, m_openGroups.size());
    return result;
}

Result<void> Farm::checkSteps() const
{
    Result<void> result;
    std::uint64_t open = 0;
    std::size_t queued = 0;
    m_steps.forEach([&](StepId id, const StepRecord& step) {
        if (!result)
            return;
        const bool finished = step.state() == work::StepState::Finished;
        open += finished ? 0U : 1U;
        queued += step.isQueued ? 1U : 0U;
        const bool waits = step.state() == work::StepState::Ready && !needOf(id).shares.empty();
        const AttemptRecord* attempt = m_attempts.find(step.newest);
        const bool live = attempt != nullptr && attempt->isLive();
        if (!m_dag.contains(id))
            result = broken("step {} is not in the graph", id.value());
        else if (finished != (m_dag.outcome(id) != work::Dag::Outcome::Open))
            result = broken("step {} is {}, the graph says otherwise", id.value(), work::toString(step.state()));
        else if (finished && work::isGood(*step.result()) != (m_dag.outcome(id) == work::Dag::Outcome::Good))
            result = broken("step {} is {}, the graph says otherwise", id.value(), work::toString(*step.result()));
        else if (live != (step.state() == work::StepState::Running))
            result = broken("step {} is {} and {} a live attempt", id.value(), work::toString(step.state()),
                            live ? "has" : "has not");
        else if (waits != step.isQueued)
            result = broken("step {} is {} and {} queued", id.value(), work::toString(step.state()),
                            step.isQueued ? "is" : "is not");
        else if (!finished && !isWanted(id) && (!live || !attempt->isStopped()))
            result = broken("step {} is {} and nobody needs it", id.value(), work::toString(step.state()));
        else if (mayLeave(id, step))
            result = broken("step {} is {}, of no job, and still here", id.value(), work::toString(step.state()));
        else if (step.state() == work::StepState::Blocked && m_dag.waitsFor(id) == 0)
            result = broken("step {} is blocked by nothing", id.value());
        else if (step.state() != work::StepState::Blocked && !finished && m_dag.waitsFor(id) != 0)
            result = broken("step {} is {} before its dependencies", id.value(), work::toString(step.state()));
    });
    if (result && open != m_openSteps)
        result = broken("{} steps are open, counted {}", open, m_openSteps);
    if (result && queued != m_planner.queued())
        result = broken("{} steps are queued, the planner has {}", queued, m_planner.queued());
    if (result && m_dag.size() != m_steps.size())
        result = broken("the graph has {} steps, the farm {}", m_dag.size(), m_steps.size());
    return result;
}

// What each step is handed down, against its claims and dependents.
Result<void> Farm::checkNeeds() const
{
    std::vector<StepId> steps;
    steps.reserve(m_steps.size());
    m_steps.forEach([&](StepId id, const StepRecord&) { steps.push_back(id); });
    return m_needs.check(m_dag, steps, claims());
}

Result<void> Farm::checkAttempts() const
{
    Result<void> result;
    m_attempts.forEach([&](AttemptId id, const AttemptRecord& attempt) {
        if (!result)
            return;
        const StepRecord* step = m_steps.find(attempt.step);
        const MachineRecord* machine = m_machines.find(attempt.machine);
        if (step == nullptr || step->newest != id)
            result = broken("attempt {} is not the newest of step {}", id.value(), attempt.step.value());
        else if (machine == nullptr)
            result = broken("attempt {} is on machine {}, which is not there", id.value(), attempt.machine.value());
        else if (attempt.isLive() != machine->running.contains(id))
            result = broken("attempt {} is {}, machine {} says otherwise", id.value(),
                            work::toString(attempt.progress.state), attempt.machine.value());
    });
    return result;
}

Result<void> Farm::checkMachines() const
{
    Result<void> result;
    std::size_t connected = 0;
    m_machines.forEach([&](MachineId id, const MachineRecord& machine) {
        if (!result)
            return;
        std::uint64_t cpus = 0;
        std::uint32_t sending = 0;
        for (const AttemptId attempt : machine.running) {
            const AttemptRecord* record = m_attempts.find(attempt);
            if (record == nullptr)
                result = broken("machine {} runs attempt {}, which is not there", id.value(), attempt.value());
            else if (record->isSending)
                ++sending;
            else
                cpus += m_planner.asks().cpus(record->ask);
        }
        if (result && sending != machine.sending)
            result = broken("machine {} counts {} attempts that send outputs, but there are {}", id.value(),
                            machine.sending, sending);
        if (result && m_planner.knows(id) && cpus != m_planner.room(id).taken().cpus)
            result = broken("machine {} has {} cpus taken, its attempts have {}", id.value(),
                            m_planner.room(id).taken().cpus, cpus);
        if (machine.link == Link::Away)
            return;
        ++connected;
        const auto session = m_sessions.find(machine.session);
        if (session == m_sessions.end() || session->second != id)
            result = broken("machine {} is connected by session {}, which is not its own", id.value(),
                            machine.session.value());
    });
    if (result && connected != m_sessions.size())
        result = broken("{} machines are connected, but there are {} sessions", connected, m_sessions.size());
    return result;
}

} // namespace penstock::core::detail
