// SPDX-License-Identifier: GPL-3.0-or-later
// Machines come, go and change. Who a machine is comes from its identity, bound to the credential it was first seen
// with; which of two connections is the real one comes from the instance.
#include "server/core/detail/farm.h"

#include "shared/base/check.h"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

namespace penstock::core::detail {

MachineRecord* Farm::machineOf(SessionId session, MachineId* id)
{
    const auto found = m_sessions.find(session);
    if (found == m_sessions.end())
        return nullptr; // closed or replaced: what it says comes too late
    if (id != nullptr)
        *id = found->second;
    return m_machines.find(found->second);
}

void Farm::close(SessionId session, protocol::GoodbyeReason reason, std::string text)
{
    m_early.emplace_back(CloseSession{session, reason, std::move(text)});
}

// Whether the connection may stand for this machine; otherwise it is closed, with the reason.
bool Farm::admit(const MachineConnected& event, MachineRecord* known)
{
    if (m_sessions.contains(event.session)) {
        PENSTOCK_BUG("a session connected twice");
        return false;
    }
    if (known == nullptr) {
        if (m_machines.size() < m_options.maxMachines)
            return true;
        ++m_counters.connectionsRefused;
        close(event.session, protocol::GoodbyeReason::Overloaded,
              fmt::format("the farm knows {} machines already, which is its limit", m_machines.size()));
        return false;
    }
    if (known->row.credential != event.credential) {
        ++m_counters.connectionsRefused;
        close(event.session, protocol::GoodbyeReason::Denied,
              fmt::format("identity {} belongs to another credential; use the token it was first seen with, or remove "
                          "the builder's identity file to make it a new machine",
                          event.identity));
        return false;
    }
    if (known->link == Link::Away)
        return true;
    if (known->instance == event.instance) {
        close(known->session, protocol::GoodbyeReason::Replaced, "the same builder has connected anew");
        m_sessions.erase(known->session);
        known->link = Link::Away;
        return true;
    }
    ++m_counters.connectionsRefused;
    close(event.session, protocol::GoodbyeReason::IdentityInUse,
          fmt::format("another builder with identity {} is connected; if that is this one before its restart, it will "
                      "be taken out soon; else give each builder its own work directory",
                      event.identity));
    return false;
}

MachineRecord& Farm::newMachine(const MachineConnected& event)
{
    const MachineId id(++m_marks.machine);
    m_identities.emplace(event.identity, id);
    return m_machines.insert(id, MachineRecord({id, event.identity, event.credential, event.facts.name, false, {},
                                                m_now.wall, m_now.wall}));
}

void Farm::on(MachineConnected& event)
{
    const auto found = m_identities.find(event.identity);
    MachineRecord* machine = found == m_identities.end() ? nullptr : m_machines.find(found->second);
    if (!admit(event, machine))
        return;
    if (machine == nullptr)
        machine = &newMachine(event);
    const MachineId id = machine->row.id;
    machine->isNewInstance = machine->instance != event.instance;
    if (machine->isNewInstance && !machine->instance.empty())
        machine->restartedAt = m_now.mono;
    machine->instance = std::move(event.instance);
    machine->version = std::move(event.version);
    machine->facts = std::move(event.facts);
    machine->row.name = machine->facts.name;
    machine->row.lastSeen = m_now.wall;
    machine->connectedAt = m_now.wall;
    machine->session = event.session;
    machine->link = Link::Welcomed;
    machine->revision = 0;
    machine->outgoing.reset(); // it was meant for the former connection
    machine->drainsItself = false;
    machine->drainNote.clear();
    machine->load.reset();
    machine->over.clear();
    machine->overSince.clear();
    machine->stopsSent.clear();
    machine->foreign = 0;
    for (const AttemptId attempt : machine->running)
        m_attempts.at(attempt).revision = 0;
    m_sessions.emplace(event.session, id);
    const bool isKnown = m_planner.knows(id);
    m_planner.setFacts(id, machine->facts);
    if (!isKnown) // what it ran before the server's restart
        for (const AttemptId attempt : machine->running)
            if (const AttemptRecord& record = m_attempts.at(attempt); !record.isSending)
                m_planner.takeRoom(id, record.ask);
    refreshStatus(id, *machine);
    persistMachine(*machine);
    show(id);
    m_late.emplace_back(SendWelcome{event.session, id, 0});
}

void Farm::on(MachineFactsChanged& event)
{
    MachineId id(0);
    MachineRecord* machine = machineOf(event.session, &id);
    if (machine == nullptr)
        return;
    machine->facts = std::move(event.facts);
    if (machine->row.name != machine->facts.name) {
        machine->row.name = machine->facts.name;
        persistMachine(*machine);
    }
    judgeLoad(*machine);
    m_planner.setFacts(id, machine->facts);
    refreshStatus(id, *machine);
    show(id);
}

void Farm::on(MachineDrains& event)
{
    MachineId id(0);
    MachineRecord* machine = machineOf(event.session, &id);
    if (machine == nullptr)
        return;
    machine->drainsItself = event.draining;
    machine->drainNote = std::move(event.note);
    resumeHealth(id, *machine); // its probe may have waited for this
    refreshStatus(id, *machine);
    show(id);
}

void Farm::on(MachineDisconnected& event)
{
    MachineId id(0);
    MachineRecord* machine = machineOf(event.session, &id);
    if (machine == nullptr)
        return;
    m_sessions.erase(event.session);
    goAway(id, *machine);
}

// Its attempts stay with it for the grace time: most breaks are short, and a restart of what runs costs more.
void Farm::goAway(MachineId id, MachineRecord& machine)
{
    machine.link = Link::Away;
    machine.foreign = 0;
    machine.outgoing.reset();
    machine.graceEnds = m_now.mono + m_options.reconnectGrace;
    machine.row.lastSeen = m_now.wall;
    persistMachine(machine);
    if (!machine.running.empty())
        m_deadlines.add({machine.graceEnds, DeadlineKind::MachineGrace, id.value()});
    refreshStatus(id, machine);
    show(id);
}

void Farm::on(DrainMachine& event)
{
    const Result<MachineId> id = findMachine(event.machine);
    if (!id)
        return reply(event.request, fail(id.error()));
    MachineRecord& machine = m_machines.at(*id);
    machine.row.drained = event.drain;
    machine.row.drainNote = event.drain ? std::move(event.note) : std::string();
    persistMachine(machine);
    resumeHealth(*id, machine); // its probe may have waited for this
    refreshStatus(*id, machine);
    show(*id);
    if (machine.link == Link::Ready)
        static_cast<void>(desiredFor(machine)); // tells it, for display
    reply(event.request, std::variant<Submitted, Done>(Done{}));
}

void Farm::persistMachine(MachineRecord& machine)
{
    m_dirtyMachines.push_back(machine.row.id);
}

void Farm::refreshStatus(MachineId id, MachineRecord& machine)
{
    if (m_planner.knows(id)) // else not seen since the server started
        m_planner.setStatus(id, statusOf(machine));
}

void Farm::loadReported(MachineRecord& machine, const protocol::LoadSample& load)
{
    machine.load = load;
    ++machine.reports;
    judgeLoad(machine);
    // What is busy beyond what ours are expected to use is somebody else's, or ours use more than anybody knew.
    const std::uint64_t busy = sched::busyCpus(load, machine.facts.cores);
    // The report looks back, so what ran at the last one counts too.
    const std::uint64_t ours = m_planner.room(machine.row.id).expectedOfOurs();
    machine.foreignCpus =
        static_cast<std::uint32_t>(busy - std::min(busy, std::max(ours, std::exchange(machine.expectedBefore, ours))));
}

void Farm::judgeLoad(MachineRecord& machine)
{
    machine.over.clear();
    if (!machine.load)
        return;
    const protocol::Thresholds limits = sched::inForce(machine.facts.thresholds, machine.row.overrides);
    std::map<sched::GateKind, Instant> since;
    for (const sched::OverThreshold& over : sched::overThresholds(limits, *machine.load)) {
        if (!sched::closes(over.kind, m_options.policy.room))
            continue;
        const auto before = machine.overSince.find(over.kind);
        since.emplace(over.kind, before == machine.overSince.end() ? m_now.mono : before->second);
        machine.over.push_back(over);
    }
    machine.overSince = std::move(since);
}

std::uint64_t Farm::scoreOf(const MachineRecord& machine) const
{
    const auto fixed = [](double value) { // thousandths; what a peer sends may be anything
        return !(value > 0) ? std::uint64_t{1} : static_cast<std::uint64_t>(std::min(value, 1e6) * 1000.0) + 1;
    };
    const std::uint64_t speed = fixed(machine.facts.speedFactor);
    const std::uint64_t cores = std::max(machine.facts.cores, 1U);
    switch (m_options.policy.machines) {
    case sched::MachineSort::Headroom: return 0;
    case sched::MachineSort::SpeedFactorOnly: return speed;
    case sched::MachineSort::CpuCoreCountWithSpeedFactor: return speed * cores;
    case sched::MachineSort::BogomipsWithSpeedFactor:
        return speed * cores * std::max<std::uint64_t>(fixed(machine.facts.bogomips) / 1000, 1);
    }
    return 0;
}

// Of a step of which nothing is known. Where names come back, a new one may be anything, and the guess costs room only
// once; where they do not, the others are what there is to go by, and half as much again, as they are not the average.
std::uint32_t Farm::guessedCpus(std::uint32_t cores) const
{
    constexpr std::uint32_t kExperience = 256; // runs
    const std::uint32_t most = std::max(cores / 2, 1U);
    if (m_experience < kExperience || m_unknownPerMille < 500)
        return most;
    return static_cast<std::uint32_t>(std::clamp<std::uint64_t>((m_typicalMilliCpus * 3 / 2 + 999) / 1000, 1, most));
}

sched::MachineStatus Farm::statusOf(const MachineRecord& machine) const
{
    constexpr std::uint32_t kManySlots = 4'096; // attempts on one machine, where slots do not count
    const protocol::MachineFacts& facts = machine.facts;
    const work::HealthState health = machine.row.health.state;
    const bool isDynamic = m_options.policy.room == sched::MachineFree::Dynamic;
    const std::uint32_t cores = std::max(facts.cores, 1U);
    const protocol::Thresholds limits = sched::inForce(facts.thresholds, machine.row.overrides);
    const bool loadCounts = m_options.policy.room != sched::MachineFree::Static &&
                            (isDynamic || limits.cpuPsi > 0 || limits.load1 > 0);
    sched::MachineStatus status;
    status.able = machine.link == Link::Ready && !machine.isDraining() &&
                  (health == work::HealthState::Healthy || health == work::HealthState::Parole);
    status.open = machine.over.empty();
    status.foreign = machine.foreign;
    status.capacity.slots = isDynamic ? kManySlots : facts.maxJobs;
    if (health == work::HealthState::Parole)
        status.capacity.slots = 1;
    // Where load counts, the sum of what steps are expected to use stays within the cores: a threshold alone acts too
    // late, and nothing that runs is taken back. Elsewhere slots may be more than cores on purpose, and a cpu is a
    // slot's part of the machine.
    status.capacity.resources = {.cpus = isDynamic ? kManySlots : std::max(cores, facts.maxJobs),
                                 .memoryBytes = facts.memoryBytes,
                                 .named = facts.resources};
    if (loadCounts) {
        status.capacity.busyCpus = cores;
        status.capacity.unknownCpus = guessedCpus(cores);
        status.foreignCpus = machine.foreignCpus;
    }
    status.report = machine.reports;
    // Nobody knows what a step will make of disk and memory: near a threshold one is tried at a time.
    if (loadCounts && machine.load && sched::isNearPressure(limits, *machine.load))
        status.starts = 1;
    status.score = scoreOf(machine);
    if (machine.load)
        status.load = sched::partOf(sched::busyCpus(*machine.load, cores), cores);
    return status;
}

protocol::Desired& Farm::desiredFor(MachineRecord& machine)
{
    if (!machine.outgoing) {
        machine.outgoing.emplace();
        m_outgoing.push_back(machine.row.id);
    }
    return *machine.outgoing;
}

} // namespace penstock::core::detail
