// SPDX-License-Identifier: GPL-3.0-or-later
// What operators do to the farm: order, holds, pauses, shares, limits, thresholds, trust. And what jobs have in common.
#include "server/core/detail/farm.h"

#include "shared/base/check.h"

#include <fmt/format.h>

namespace penstock::core::detail {
namespace {

std::variant<Submitted, Done> done()
{
    return Done{};
}

} // namespace

// ----------------------------------------------------------------------------------------------------------- jobs

JobRecord* Farm::openJob(RequestId request, JobId id)
{
    JobRecord* job = m_jobs.find(id);
    if (job != nullptr && job->isOpen())
        return job;
    reply(request, fail(ErrorCode::NotFound, fmt::format("no job {}", id.value())));
    return nullptr;
}

void Farm::on(BumpJob& event)
{
    JobRecord* job = openJob(event.request, event.job);
    if (job == nullptr)
        return;
    bump(event.job, *job, event.bump ? std::optional(event.at.value_or(m_now.wall)) : std::nullopt);
    reply(event.request, done());
}

void Farm::on(BumpJobs& event)
{
    for (const BumpJobs::Order& order : event.orders)
        if (JobRecord* job = m_jobs.find(order.job); job != nullptr && job->isOpen())
            bump(order.job, *job, order.at);
    reply(event.request, done());
}

void Farm::bump(JobId id, JobRecord& job, std::optional<WallTime> at)
{
    const std::optional<WallTime> before = job.progress().bumped;
    if (at == before)
        return;
    job.setBumped(at);
    touch(id, job);
    if (sched::bumpOrder(at) <= sched::bumpOrder(before))
        claimAll(id, job);
    else
        worsenAll(job);
}

void Farm::on(HoldJob& event)
{
    JobRecord* job = openJob(event.request, event.job);
    if (job == nullptr)
        return;
    work::JobProgress progress = job->progress();
    progress.held = event.hold;
    progress.holdNote = event.hold ? std::move(event.note) : std::string();
    job->setProgress(std::move(progress));
    touch(event.job, *job);
    if (event.hold)
        worsenAll(*job);
    else
        claimAll(event.job, *job);
    reply(event.request, done());
}

// ----------------------------------------------------------------------------------------------------------- farm

void Farm::on(PauseDispatch& event)
{
    m_pause = {event.pause, std::move(event.who), std::move(event.note), m_now.wall};
    m_changes.pause = m_pause;
    reply(event.request, done());
}

void Farm::on(SetShares& event)
{
    if (event.group.shares == 0)
        return reply(event.request, fail(ErrorCode::Invalid, fmt::format("shares of {}: must be at least 1, not 0",
                                                                         event.group.name)));
    setShares(event.group);
    std::erase_if(m_changes.shareGroups, [&](const work::ShareGroupRow& row) { return row.name == event.group.name; });
    m_changes.shareGroups.push_back(event.group);
    reply(event.request, done());
}

// A group that has been given shares is known from then on, whether it has jobs or not.
void Farm::setShares(const work::ShareGroupRow& row)
{
    const sched::ShareIndex share = m_ledger.acquire(row.name);
    m_ledger.setShares(share, row.shares);
    m_ledger.release(share);
    refreshUse(share);
}

void Farm::on(SetNamespace& event)
{
    const work::NamespaceRow& limits = event.limits;
    m_namespaces.insert_or_assign(limits.name, limits);
    std::erase_if(m_changes.namespaces, [&](const work::NamespaceRow& row) { return row.name == limits.name; });
    m_changes.namespaces.push_back(limits);
    const sched::GateIndex gate = m_planner.gates().find({sched::GateScope::Namespace, limits.name, {}});
    if (gate != 0 && m_planner.gates().setLimits(gate, {limits.maxRunningSteps, limits.maxCpus}))
        m_planner.gateOpened(gate);
    reply(event.request, done());
}

// -------------------------------------------------------------------------------------------------------- machines

void Farm::on(SetThresholds& event)
{
    const Result<MachineId> id = findMachine(event.machine);
    if (!id)
        return reply(event.request, fail(id.error()));
    MachineRecord& machine = m_machines.at(*id);
    machine.row.overrides = event.overrides;
    persistMachine(machine);
    judgeLoad(machine);
    refreshStatus(*id, machine);
    show(*id);
    reply(event.request, done());
}

void Farm::on(TrustMachine& event)
{
    const Result<MachineId> id = findMachine(event.machine);
    if (!id)
        return reply(event.request, fail(id.error()));
    changeHealth(*id, m_machines.at(*id), work::Trusted{});
    reply(event.request, done());
}

void Farm::on(RemoveMachine& event)
{
    const Result<MachineId> id = findMachine(event.machine);
    if (!id)
        return reply(event.request, fail(id.error()));
    MachineRecord& machine = m_machines.at(*id);
    if (machine.link != Link::Away)
        return reply(event.request,
                     fail(ErrorCode::Conflict, fmt::format("machine {} is connected; stop its builder first",
                                                           machine.row.name)));
    if (!machine.running.empty())
        return reply(event.request,
                     fail(ErrorCode::Conflict,
                          fmt::format("machine {} may still run {} attempts; try again when they are given up",
                                      machine.row.name, machine.running.size())));
    // Attempts that are over still name it: they are kept for display, and the store has them.
    std::vector<AttemptId> over;
    m_attempts.forEach([&](AttemptId attempt, const AttemptRecord& record) {
        if (record.machine == *id)
            over.push_back(attempt);
    });
    for (const AttemptId attempt : over) {
        m_steps.at(m_attempts.at(attempt).step).newest = AttemptId(0);
        m_attempts.erase(attempt);
    }
    if (m_planner.knows(*id))
        m_planner.removeMachine(*id);
    m_identities.erase(machine.row.identity);
    m_changes.removedMachines.push_back(*id);
    std::erase(m_dirtyMachines, *id);
    std::erase_if(m_dirtyAttempts, [this](AttemptId attempt) { return m_attempts.find(attempt) == nullptr; });
    m_machines.erase(*id);
    show(*id);
    reply(event.request, done());
}

// --------------------------------------------------------------------------------------------------------- origins

// What jobs of one origin share: the group that pays, the gates that their steps pass.
std::uint32_t Farm::acquireOrigin(const work::JobSpec& spec)
{
    const std::uint32_t origin =
        m_origins.acquire({spec.user, spec.nameSpace, spec.shareGroup, spec.concurrencyGroup, spec.limits});
    if (origin >= m_originStates.size())
        m_originStates.resize(origin + std::size_t{1});
    OriginState& state = m_originStates[origin];
    sched::Gates& gates = m_planner.gates();
    if (m_origins.users(origin) == 1) {
        const std::string& group = groupOf(spec);
        state.share = m_ledger.acquire(group);
        ShareState& share = m_shares[state.share];
        share.name = group;
        ++share.origins;
        state.gates[0] = gates.acquire({sched::GateScope::Namespace, spec.nameSpace, {}});
        if (const auto row = m_namespaces.find(spec.nameSpace); row != m_namespaces.end())
            static_cast<void>(gates.setLimits(state.gates[0], {row->second.maxRunningSteps, row->second.maxCpus}));
        state.gates[1] = spec.concurrencyGroup.empty()
                             ? 0
                             : gates.acquire({sched::GateScope::Concurrency, spec.nameSpace, spec.concurrencyGroup});
    }
    if (state.gates[1] != 0 && gates.setLimits(state.gates[1], {spec.concurrencyLimit, 0}))
        m_planner.gateOpened(state.gates[1]);
    return origin;
}

void Farm::releaseOrigin(std::uint32_t origin)
{
    if (m_origins.users(origin) == 1) {
        const OriginState& state = m_originStates[origin];
        for (const sched::GateIndex gate : state.gates)
            if (gate != 0)
                m_planner.gates().release(gate);
        const auto share = m_shares.find(state.share);
        if (--share->second.origins == 0)
            m_shares.erase(share);
        m_ledger.release(state.share);
    }
    m_origins.release(origin);
}

const std::string& Farm::groupOf(const work::JobSpec& spec)
{
    return spec.shareGroup.empty() ? spec.nameSpace : spec.shareGroup;
}

// Whoever submits may invent groups, and each with open jobs costs something every second.
Result<void> Farm::checkGroup(const work::JobSpec& spec, std::set<std::string>& fresh) const
{
    const std::string& group = groupOf(spec);
    if (m_openGroups.contains(group) || !fresh.insert(group).second)
        return {};
    const std::uint64_t open = m_openGroups.size() + fresh.size();
    if (open <= m_options.maxShareGroups)
        return {};
    return fail(ErrorCode::Exhausted,
                fmt::format("{}: with {} of job {}, {} share groups would have open jobs, the limit is {}; use a group "
                            "that has some already, or wait until all of another's have finished",
                            group == spec.nameSpace ? "namespace" : "shares_group", group, spec.name, open,
                            m_options.maxShareGroups));
}

Result<void> Farm::checkQuota(const SubmitJobs& event) const
{
    std::map<std::string_view, std::uint64_t> asked;
    for (const JobRequest& job : event.jobs) // one that is known by its key is only answered again
        if (job.spec.key.empty() || !m_keys.contains({job.spec.nameSpace, job.spec.key}))
            ++asked[job.spec.nameSpace];
    for (const JobRequest& job : event.jobs) {
        const auto row = m_namespaces.find(job.spec.nameSpace);
        if (row == m_namespaces.end() || row->second.maxCpus == 0)
            continue;
        for (const StepRequest& step : job.steps)
            if (step.spec.resources.cpus > row->second.maxCpus)
                return fail(ErrorCode::Invalid,
                            fmt::format("resources.cpus: {} wants {}, but the steps of namespace {} may use {} at "
                                        "once; ask for less, or raise the limit",
                                        step.spec.name, step.spec.resources.cpus, row->first, row->second.maxCpus));
    }
    for (const auto& [name, jobs] : asked) {
        const auto row = m_namespaces.find(std::string(name));
        if (row == m_namespaces.end() || row->second.maxQueuedJobs == 0)
            continue;
        const auto open = m_openByNamespace.find(std::string(name));
        const std::uint64_t before = open == m_openByNamespace.end() ? 0 : open->second;
        if (before + jobs > row->second.maxQueuedJobs)
            return fail(ErrorCode::Exhausted,
                        fmt::format("namespace {} would have {} open jobs, its limit is {}; wait until some have "
                                    "finished",
                                    name, before + jobs, row->second.maxQueuedJobs));
    }
    return {};
}

} // namespace penstock::core::detail
