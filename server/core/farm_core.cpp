// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/core/farm_core.h"

#include "server/core/detail/farm.h"

namespace penstock::core {

FarmCore::FarmCore(CoreOptions options) : m_farm(std::make_unique<detail::Farm>(std::move(options))) {}
FarmCore::~FarmCore() = default;
FarmCore::FarmCore(FarmCore&&) noexcept = default;
FarmCore& FarmCore::operator=(FarmCore&&) noexcept = default;

Result<std::vector<Command>> FarmCore::recover(const work::Recovery& recovery, Now now)
{
    return m_farm->recover(recovery, now);
}

std::vector<Command> FarmCore::apply(std::span<const Event> batch, Now now)
{
    std::vector<Event> events(batch.begin(), batch.end());
    return m_farm->consume(events, now);
}

std::vector<Command> FarmCore::consume(std::span<Event> batch, Now now)
{
    return m_farm->consume(batch, now);
}

Result<void> FarmCore::checkInvariants() const
{
    return m_farm->checkInvariants();
}
std::optional<JobView> FarmCore::job(JobId job) const
{
    return m_farm->job(job);
}
std::vector<JobId> FarmCore::newestJobs(bool finished, std::size_t limit) const
{
    return m_farm->newestJobs(finished, limit);
}
std::vector<StepId> FarmCore::stepsOf(JobId job) const
{
    return m_farm->stepsOf(job);
}
std::optional<StepView> FarmCore::step(StepId step, JobId forJob) const
{
    return m_farm->step(step, forJob);
}
LiveSteps FarmCore::liveSteps(const std::set<work::StepState>& states, StepId from, std::size_t limit) const
{
    return m_farm->liveSteps(states, from, limit);
}

std::optional<AttemptView> FarmCore::attempt(AttemptId attempt) const
{
    return m_farm->attempt(attempt);
}

std::optional<LiveWork> FarmCore::liveWork(AttemptId attempt) const
{
    return m_farm->liveWork(attempt);
}
bool FarmCore::isLiveOf(AttemptId attempt, SessionId session) const
{
    return m_farm->isLiveOf(attempt, session);
}
std::vector<MachineId> FarmCore::machines() const
{
    return m_farm->machines();
}
std::optional<MachineView> FarmCore::machine(MachineId machine) const
{
    return m_farm->machine(machine);
}
Result<MachineId> FarmCore::findMachine(const std::string& nameOrId) const
{
    return m_farm->findMachine(nameOrId);
}
std::vector<QueueView> FarmCore::queues() const
{
    return m_farm->queues();
}
std::vector<ShareView> FarmCore::shares(Now now) const
{
    return m_farm->shares(now);
}

std::vector<NamespaceView> FarmCore::namespaces() const
{
    return m_farm->namespaces();
}

Totals FarmCore::totals() const
{
    return m_farm->totals();
}
const Counters& FarmCore::counters() const
{
    return m_farm->counters();
}
Result<Explanation> FarmCore::explain(JobId job, std::size_t maxSteps, Now now) const
{
    return m_farm->explain(job, maxSteps, now);
}

Result<Explanation> FarmCore::explainStep(JobId job, StepId step, Now now) const
{
    return m_farm->explainStep(job, step, now);
}

} // namespace penstock::core
