// SPDX-License-Identifier: GPL-3.0-or-later
// Reports: what a machine holds, against what it should. Desired state: whatever was lost on the way shows up here.
#include "server/core/detail/farm.h"

#include <algorithm>
#include <fmt/format.h>

namespace penstock::core::detail {
namespace {

constexpr Duration kSeenStored = std::chrono::hours(1);

const protocol::HeldAttempt* findHeld(const std::vector<protocol::HeldAttempt>& sorted, AttemptId id)
{
    const auto found = std::lower_bound(sorted.begin(), sorted.end(), id,
                                        [](const protocol::HeldAttempt& held, AttemptId wanted) {
                                            return held.attempt < wanted;
                                        });
    return found == sorted.end() || found->attempt != id ? nullptr : &*found;
}

} // namespace

void Farm::on(MachineReported& event)
{
    MachineId id(0);
    MachineRecord* machine = machineOf(event.session, &id);
    if (machine == nullptr)
        return;
    std::sort(event.held.begin(), event.held.end(),
              [](const auto& a, const auto& b) { return a.attempt < b.attempt; });
    machine->lastReport = m_now.wall;
    if (m_now.wall - machine->row.lastSeen >= kSeenStored) { // should the server end before the connection does
        machine->row.lastSeen = m_now.wall;
        persistMachine(*machine);
    }
    loadReported(*machine, event.load);
    if (machine->link == Link::Welcomed)
        firstReport(*machine, event);
    else
        laterReport(*machine, event);
    refreshStatus(id, *machine);
    show(id);
}

// After each connection: says the whole of what it should hold. What it should hold and does not is lost, except an
// assignment that the same program may never have received: that one is sent again.
void Farm::firstReport(MachineRecord& machine, const MachineReported& event)
{
    machine.link = Link::Ready;
    resumeHealth(machine.row.id, machine);
    desiredFor(machine).complete = true;
    const std::vector<AttemptId> live(machine.running.begin(), machine.running.end());
    for (const AttemptId attempt : live)
        adopt(machine, attempt, findHeld(event.held, attempt));
    countForeign(machine, event, false); // the complete list already stops them
}

void Farm::adopt(MachineRecord& machine, AttemptId id, const protocol::HeldAttempt* held)
{
    AttemptRecord& attempt = m_attempts.at(id);
    const bool unheard = attempt.progress.state == work::AttemptState::Assigned;
    if (held == nullptr && unheard && !machine.isNewInstance && !attempt.isStopped()) {
        desiredFor(machine).assign.push_back(assignmentFor(id, attempt));
        return;
    }
    if (held == nullptr)
        return loseAttempt(id, fmt::format("machine {} does not hold it any more", machine.row.name));
    ++m_counters.adopted;
    if (unheard)
        acceptAttempt(id, attempt);
    desiredFor(machine).wanted.push_back(id);
    if (attempt.isStopped())
        desiredFor(machine).stop.push_back({id, attempt.stopReason});
}

void Farm::laterReport(MachineRecord& machine, const MachineReported& event)
{
    const std::vector<AttemptId> live(machine.running.begin(), machine.running.end());
    for (const AttemptId attempt : live) {
        const std::uint64_t told = m_attempts.at(attempt).revision;
        if (told != 0 && told <= event.appliedRevision && findHeld(event.held, attempt) == nullptr)
            loseAttempt(attempt, fmt::format("machine {} does not hold it any more", machine.row.name));
    }
    countForeign(machine, event, true);
}

// Attempts it works on though they are over for us: they are stopped, and meanwhile take its slots. Finished ones
// are answered when their results come.
void Farm::countForeign(MachineRecord& machine, const MachineReported& event, bool stop)
{
    machine.foreign = 0;
    std::set<AttemptId> stopped;
    for (const protocol::HeldAttempt& held : event.held) {
        if (held.finished || machine.running.contains(held.attempt))
            continue;
        ++machine.foreign;
        if (!stop)
            continue;
        if (!machine.stopsSent.contains(held.attempt))
            desiredFor(machine).stop.push_back({held.attempt, "fenced: this attempt is over"});
        stopped.insert(held.attempt);
    }
    machine.stopsSent = std::move(stopped);
}

} // namespace penstock::core::detail
