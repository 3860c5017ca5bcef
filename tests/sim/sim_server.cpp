// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/sim_server.h"

#include <fmt/format.h>

namespace penstock::sim {

// ----------------------------------------------------------------------------------------------------
// LifeLoop

std::pair<Instant, std::uint64_t> LifeLoop::run(Duration delay, Task task)
{
    return m_world.after(delay, [alive = m_alive, task = std::move(task)] {
        if (*alive)
            task();
    });
}

Loop::TimerId LifeLoop::postAt(Instant at, Task task)
{
    const TimerId id = m_nextTimer++;
    m_timers.emplace(id, run(at - m_world.now().mono, [this, id, task = std::move(task)] {
                         m_timers.erase(id);
                         task();
                     }));
    return id;
}

void LifeLoop::cancel(TimerId timer)
{
    if (const auto found = m_timers.find(timer); found != m_timers.end()) {
        m_world.cancel(found->second);
        m_timers.erase(found);
    }
}

// ---------------------------------------------------------------------------------------------------
// SimServer

SimServer::SimServer(World& world, Ledger& ledger, const core::CoreOptions& options)
    : m_world(world), m_ledger(ledger), m_options(options)
{}

void SimServer::start()
{
    if (isUp())
        return;
    m_world.note("server.start");
    auto life = std::make_unique<Life>();
    life->loop = std::make_unique<LifeLoop>(m_world);
    life->memory = std::make_unique<store::MemoryStore>(
        [this](Task task) {
            m_disk.push_back(std::move(task));
            runDisk();
        },
        m_tables);
    life->store = std::make_unique<WatchedStore>(*life->memory, m_ledger);
    life->core = std::make_unique<core::FarmCore>(m_options);
    life->dispatcher =
        std::make_unique<dispatch::Dispatcher>(*life->loop, m_world, *life->core, *life->store, *this);
    m_life = std::move(life);
    const Result<work::Recovery> rows = m_life->store->loadOpen();
    if (!rows)
        return m_world.violate(fmt::format("the store does not load: {}", rows.error().message));
    auto commands = m_life->core->recover(*rows, m_world.now());
    if (!commands)
        return m_world.violate(fmt::format("the core does not recover: {}", commands.error().message));
    if (auto checked = m_life->core->checkInvariants(); !checked)
        return m_world.violate(fmt::format("after recovery: {}", checked.error().message));
    m_recovered = 0;
    std::set<StepId> listed;
    for (const work::JobStepRow& row : rows->jobSteps)
        listed.insert(row.step);
    for (const work::StepRow& row : rows->steps)
        if (!row.progress.result && !listed.contains(row.id))
            m_world.reach("roots.below_recovered");
    for (const work::AttemptRow& row : rows->attempts)
        m_recovered = std::max(m_recovered, row.id.value());
    m_life->dispatcher->start(*std::move(commands));
    if (!m_diskReachable)
        m_life->dispatcher->post(core::StoreHealth{false, "the database is away"});
}

void SimServer::crash(std::size_t keepsInFlight)
{
    if (!isUp())
        return;
    m_world.note("server.crash", keepsInFlight, m_disk.size());
    m_past = counters();
    m_life->loop->kill();
    for (; keepsInFlight > 0 && !m_disk.empty(); --keepsInFlight) {
        const Task task = std::move(m_disk.front());
        m_disk.pop_front();
        m_world.reach("crash.after_commit");
        task();
    }
    if (!m_disk.empty())
        m_world.reach("crash.before_commit");
    m_disk.clear();
    m_diskRuns = false;
    ++m_diskLife;
    m_life.reset();
    m_answers.clear();
    for (auto& [id, peer] : std::exchange(m_peers, {})) {
        if (m_world.random.chance(30))
            peer.wire->die(); // the machine itself is gone: no FIN
        peer.wire->close(1);
    }
}

void SimServer::setDisk(Duration latency, bool reachable)
{
    m_diskLatency = latency;
    if (std::exchange(m_diskReachable, reachable) == reachable)
        return;
    m_world.note(reachable ? "disk.back" : "disk.away");
    if (isUp())
        m_life->dispatcher->post(core::StoreHealth{reachable, reachable ? "" : "the database is away"});
    runDisk();
}

void SimServer::runDisk()
{
    if (m_diskRuns || m_disk.empty() || !m_diskReachable)
        return;
    m_diskRuns = true;
    m_world.after(m_world.random.duration(m_diskLatency / 2, m_diskLatency * 2), [this, life = m_diskLife] {
        if (life != m_diskLife)
            return;
        m_diskRuns = false;
        if (!m_diskReachable || m_disk.empty())
            return;
        const Task task = std::move(m_disk.front());
        m_disk.pop_front();
        m_world.note("disk.write", m_disk.size());
        task();
        runDisk();
    });
}

core::Counters SimServer::counters() const
{
    core::Counters sum = m_past;
    if (!isUp())
        return sum;
    const core::Counters& now = m_life->core->counters();
    sum.fenced += now.fenced;
    sum.refused += now.refused;
    sum.rejected += now.rejected;
    sum.lost += now.lost;
    sum.retries += now.retries;
    sum.adopted += now.adopted;
    sum.connectionsRefused += now.connectionsRefused;
    sum.attemptsStarted += now.attemptsStarted;
    sum.plansCutShort += now.plansCutShort;
    sum.quarantines += now.quarantines;
    sum.probes += now.probes;
    sum.reservations += now.reservations;
    sum.promotions += now.promotions;
    sum.asksRaised += now.asksRaised;
    sum.stepsUnwanted += now.stepsUnwanted;
    return sum;
}

void SimServer::checkCore()
{
    if (!isUp() || m_life->checkedBatches == m_life->dispatcher->counters().batches)
        return;
    m_life->checkedBatches = m_life->dispatcher->counters().batches;
    checkStarts();
    // Each look walks over everything.
    constexpr std::size_t kStepsAtOnce = 300;
    if (m_life->checkedBatches % (m_checkEvery + m_ledger.openSteps() / kStepsAtOnce * 8) != 0)
        return;
    if (auto checked = m_life->core->checkInvariants(); !checked)
        m_world.violate(checked.error().message);
}

// Of the core right after the batch: what it knew of the machines when it decided.
void SimServer::checkStarts()
{
    const core::FarmCore& core = *m_life->core;
    if (std::exchange(m_life->checkedStarts, core.counters().attemptsStarted) ==
        core.counters().attemptsStarted)
        return;
    for (const MachineId id : core.machines()) {
        const std::optional<core::MachineView> machine = core.machine(id);
        AttemptId& newest = m_life->newest.try_emplace(id, AttemptId(0)).first->second;
        const AttemptId before = newest;
        for (const core::AttemptView& attempt : machine->running)
            newest = std::max(newest, attempt.id);
        if (newest == before || newest <= AttemptId(m_recovered) || !machine->load)
            continue;
        const core::AttemptView& last = machine->running.back();
        const protocol::Thresholds limits = sched::inForce(machine->facts.thresholds, machine->overrides);
        for (const sched::OverThreshold& over : sched::overThresholds(limits, *machine->load))
            if (sched::closes(over.kind, m_options.policy.room) &&
                core.job(last.job)->nameSpace != core::kOwnNamespace)
                m_world.violate(fmt::format("attempt {} started on {}, {}", last.id.value(),
                                            machine->facts.name, sched::describe(over)));
    }
}

// -----------------------------------------------------------------------------------------------------
// clients

RequestId SimServer::ask(Answer answer)
{
    const RequestId id(m_nextRequest++);
    m_answers.emplace(id, std::move(answer));
    return id;
}

void SimServer::reopenJob(JobId job, Answer answer)
{
    if (!isUp())
        return;
    m_life->store->loadJob(job, [this, loop = m_life->loop.get(), answer = std::move(answer)](auto stored) {
        if (!isUp() || m_life->loop.get() != loop || !stored)
            return;
        m_life->dispatcher->post(core::ReopenJob{ask(answer), *std::move(stored)});
    });
}

void SimServer::reply(core::Reply reply)
{
    const auto found = m_answers.find(reply.request);
    if (found == m_answers.end())
        return;
    const Answer answer = std::move(found->second);
    m_answers.erase(found);
    answer(reply.answer);
}

void SimServer::publish(core::Publish changed)
{
    m_world.note("publish", changed.jobs.size(), changed.steps.size());
}

void SimServer::fatal(Error error)
{
    m_world.violate(fmt::format("the store refused a batch: {}", error.message));
}

} // namespace penstock::sim
