// SPDX-License-Identifier: GPL-3.0-or-later
// Machines come, go and change. Who a machine is comes from its identity, bound to the credential it was first seen
// with; which of two connections is the real one comes from the instance.
#include "server/core/detail/farm.h"

#include "shared/base/check.h"

#include <fmt/format.h>

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
    machine->instance = std::move(event.instance);
    machine->version = std::move(event.version);
    machine->facts = std::move(event.facts);
    machine->row.name = machine->facts.name;
    machine->row.lastSeen = m_now.wall;
    machine->session = event.session;
    machine->link = Link::Welcomed;
    machine->revision = 0;
    machine->outgoing.reset(); // it was meant for the former connection
    machine->drainsItself = false;
    machine->drainNote.clear();
    machine->load.reset();
    machine->over.clear();
    machine->stopsSent.clear();
    machine->foreign = 0;
    for (const AttemptId attempt : machine->running)
        m_attempts.at(attempt).revision = 0;
    m_sessions.emplace(event.session, id);
    m_planner.setFacts(id, machine->facts);
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
    if (machine->load)
        machine->over = sched::overThresholds(machine->facts.thresholds, *machine->load);
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
    if (machine.instance.empty())
        return; // not seen since the server started: the planner does not know it
    m_planner.setStatus(id, {.able = machine.link == Link::Ready && !machine.isDraining(),
                             .open = machine.over.empty(),
                             .slots = machine.facts.maxJobs,
                             .used = machine.used(),
                             .load = machine.load ? sched::loadPerCore(*machine.load, machine.facts.cores) : 0});
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
