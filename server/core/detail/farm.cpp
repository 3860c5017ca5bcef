// SPDX-License-Identifier: GPL-3.0-or-later
// The frame of a batch: begin, events, deadlines, planning, and what leaves at the end.
#include "server/core/detail/farm.h"

#include "shared/base/check.h"

#include <algorithm>
#include <fmt/format.h>
#include <iterator>

namespace penstock::core::detail {
namespace {

template <class IdType> std::vector<IdType> sortedUnique(std::vector<IdType>& ids)
{
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    return std::exchange(ids, {});
}

// A frame of the link holds 4 MiB. What derivations have besides is the shell's to split.
constexpr std::size_t kDesiredBytes = std::size_t{1} << 20U;

// About as many bytes as it will have on the wire.
std::size_t sizeOf(const protocol::Assignment& assignment)
{
    constexpr std::size_t kPerText = 8;
    std::size_t size = 128 + assignment.name.size();
    const auto add = [&size](const std::string& text) { size += text.size() + kPerText; };
    if (const auto* command = std::get_if<protocol::CommandWork>(&assignment.work)) {
        for (const std::string& word : command->argv)
            add(word);
        for (const auto& [name, value] : command->env) {
            add(name);
            add(value);
        }
    } else if (const auto* nix = std::get_if<protocol::NixWork>(&assignment.work)) {
        add(nix->drvPath);
        for (const protocol::NixOutput& output : nix->outputs) {
            add(output.name);
            add(output.path);
        }
    }
    return size;
}

} // namespace

std::vector<Command> Farm::consume(std::span<Event> batch, Now now)
{
    begin(now);
    for (Event& event : batch) {
        std::visit([this](auto& kind) { on(kind); }, event);
        dropUnwanted();
    }
    runDeadlines();
    dropUnwanted();
    runProbes();
    dropUnwanted();
    settleGraph();
    settleNeeds();
    plan();
    armTick();
    return end();
}

void Farm::begin(Now now)
{
    m_now = now;
}

std::vector<Command> Farm::end()
{
    std::vector<Command> commands = std::exchange(m_early, {});
    if (collectChanges()) {
        ++m_sequence;
        commands.emplace_back(Persist{m_sequence, std::exchange(m_changes, {}), m_marks});
        m_storedMarks = m_marks;
    }
    const std::uint64_t after = m_sequence;
    for (Command& command : m_late) {
        if (auto* welcome = std::get_if<SendWelcome>(&command))
            welcome->after = rowOf(welcome->machine).value_or(after);
        else if (auto* answer = std::get_if<Reply>(&command))
            answer->after = answer->answer ? after : 0;
    }
    commands.insert(commands.end(), std::make_move_iterator(m_late.begin()), std::make_move_iterator(m_late.end()));
    m_late = std::move(commands);
    for (const AttemptId old : std::exchange(m_superseded, {}))
        m_attempts.erase(old);
    flushDesired(after);
    for (auto& [session, attempts] : std::exchange(m_stored, {}))
        m_late.emplace_back(SendStored{session, attempts, after});
    flushPublish(after);
    evictFinished();
    evictUnclaimed();
    std::optional<Instant> due = m_deadlines.earliest();
    if (m_planAgain)
        due = m_now.mono;
    if (due && (!m_armed || *due != *m_armed)) {
        m_armed = due;
        m_late.emplace_back(ArmTimer{*due});
    }
    return std::exchange(m_late, {});
}

// The batch that made a machine's row durable; nothing when it was removed in this one.
std::optional<std::uint64_t> Farm::rowOf(MachineId id) const
{
    const MachineRecord* machine = m_machines.find(id);
    return machine == nullptr ? std::nullopt : machine->rowSequence;
}

bool Farm::collectChanges()
{
    for (const JobId id : std::exchange(m_dirtyJobs, {})) {
        JobRecord& job = m_jobs.at(id);
        job.isDirty = false;
        m_changes.jobs.push_back({id, job.progress()});
        m_shownJobs.push_back(id);
        if (!job.isOpen())
            job.finishedIn = m_sequence + 1;
    }
    for (const StepId id : std::exchange(m_dirtySteps, {})) {
        StepRecord& step = m_steps.at(id);
        step.isDirty = false;
        m_changes.steps.push_back({id, step.progress()});
        if (!m_dag.users(id).empty())
            m_shownSteps.push_back(id);
    }
    for (const AttemptId id : std::exchange(m_dirtyAttempts, {})) {
        AttemptRecord& attempt = m_attempts.at(id);
        attempt.isDirty = false;
        m_changes.attempts.push_back({id, attempt.progress});
    }
    for (const MachineId id : sortedUnique(m_dirtyMachines)) {
        MachineRecord& machine = m_machines.at(id);
        if (!machine.rowSequence)
            machine.rowSequence = m_sequence + 1;
        m_changes.machines.push_back(machine.row);
    }
    return !m_changes.isEmpty() || m_marks != m_storedMarks;
}

void Farm::flushDesired(std::uint64_t after)
{
    for (const MachineId id : std::exchange(m_outgoing, {})) {
        MachineRecord* found = m_machines.find(id);
        if (found == nullptr)
            continue; // removed in this batch
        MachineRecord& machine = *found;
        std::optional<protocol::Desired> desired = std::exchange(machine.outgoing, std::nullopt);
        if (!desired || machine.link == Link::Away)
            continue;
        // Commands can be large: what does not fit well below a frame's limit goes in further messages.
        std::vector<protocol::Assignment> assign = std::exchange(desired->assign, {});
        std::size_t bytes = 0;
        for (protocol::Assignment& assignment : assign) {
            const std::size_t size = sizeOf(assignment);
            if (!desired->assign.empty() && bytes + size > kDesiredBytes) {
                sendDesired(machine, std::exchange(*desired, {}), after);
                bytes = 0;
            }
            bytes += size;
            desired->assign.push_back(std::move(assignment));
        }
        sendDesired(machine, *std::move(desired), after);
    }
}

void Farm::sendDesired(MachineRecord& machine, protocol::Desired desired, std::uint64_t after)
{
    desired.revision = ++machine.revision;
    desired.draining = machine.isDraining();
    for (const protocol::Assignment& assignment : desired.assign)
        m_attempts.at(assignment.attempt).revision = machine.revision;
    for (const AttemptId attempt : desired.wanted)
        m_attempts.at(attempt).revision = machine.revision;
    m_late.emplace_back(SendDesired{machine.session, std::move(desired), after});
}

void Farm::flushPublish(std::uint64_t after)
{
    Publish publish{sortedUnique(m_shownJobs), sortedUnique(m_shownSteps), sortedUnique(m_shownMachines), 0};
    if (publish.jobs.empty() && publish.steps.empty() && publish.machines.empty())
        return;
    publish.after = publish.jobs.empty() && publish.steps.empty() ? 0 : after;
    m_late.emplace_back(std::move(publish));
}

void Farm::runDeadlines()
{
    while (const std::optional<Deadline> due = m_deadlines.takeDue(m_now.mono)) {
        switch (due->kind) {
        case DeadlineKind::StepRetry:
        case DeadlineKind::StepShunEnds: stepDeadline(*due); break;
        case DeadlineKind::Tick:
            m_ticks = false;
            tick();
            break;
        case DeadlineKind::QuarantineOver: {
            MachineRecord* machine = m_machines.find(MachineId(due->id));
            if (machine != nullptr && machine->row.health.state == work::HealthState::Quarantined &&
                machine->quarantineEnds <= m_now.mono)
                changeHealth(MachineId(due->id), *machine, work::QuarantineOver{});
            break;
        }
        case DeadlineKind::MachineGrace: {
            const MachineRecord* machine = m_machines.find(MachineId(due->id));
            if (machine == nullptr || machine->link != Link::Away || machine->graceEnds > m_now.mono)
                break;
            const std::vector<AttemptId> lost(machine->running.begin(), machine->running.end());
            for (const AttemptId attempt : lost)
                loseAttempt(attempt, fmt::format("machine {} went away and did not come back", machine->row.name));
            break;
        }
        case DeadlineKind::AttemptStop: {
            AttemptRecord* attempt = m_attempts.find(AttemptId(due->id));
            if (attempt == nullptr || !attempt->isLive() || !attempt->isStopped())
                break;
            work::AttemptProgress report = attempt->progress;
            report.end = work::AttemptEnd::Cancelled;
            report.error = "the machine did not say in time that it stopped this";
            endAttempt(AttemptId(due->id), *attempt, std::move(report));
            break;
        }
        }
    }
}

// Finished jobs leave when their end is durable and enough younger ones are kept.
void Farm::evictFinished()
{
    while (!m_finished.empty() && (m_finished.size() > m_options.finishedJobsKept ||
                                   (m_finished.size() > 1 && m_finishedSteps > m_options.finishedStepsKept))) {
        const JobId oldest = m_finished.front();
        if (m_jobs.at(oldest).finishedIn > m_confirmed)
            return;
        m_finished.pop_front();
        forgetJob(oldest);
    }
}

void Farm::reply(RequestId request, Result<std::variant<Submitted, Done>> answer)
{
    m_late.emplace_back(Reply{request, std::move(answer), 0});
}

void Farm::touch(StepId id, StepRecord& step)
{
    if (!std::exchange(step.isDirty, true))
        m_dirtySteps.push_back(id);
}

void Farm::touch(AttemptId id, AttemptRecord& attempt)
{
    if (!std::exchange(attempt.isDirty, true))
        m_dirtyAttempts.push_back(id);
}

void Farm::touch(JobId id, JobRecord& job)
{
    if (!std::exchange(job.isDirty, true))
        m_dirtyJobs.push_back(id);
}

// While the database is away, what runs goes on, but nothing new begins: memory must not grow with it. Nor while an
// operator has paused the farm.
bool Farm::mayStart() const
{
    return m_storeOk && !m_pause.paused && m_sequence - m_confirmed <= m_options.maxUnconfirmed;
}

void Farm::on(const StoreConfirmed& event)
{
    m_confirmed = std::max(m_confirmed, std::min(event.sequence, m_sequence));
}

void Farm::on(StoreHealth& event)
{
    m_storeOk = event.ok;
    m_storeError = std::move(event.error);
}

void Farm::on(const TimerFired&)
{
    m_armed.reset();
}

} // namespace penstock::core::detail
