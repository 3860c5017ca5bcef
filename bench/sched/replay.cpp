// SPDX-License-Identifier: GPL-3.0-or-later
#include "bench/sched/replay.h"

#include "shared/base/check.h"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

namespace penstock::bench {
namespace {

// From here on a start on a machine above its threshold is our fault: two reports came meanwhile.
constexpr Duration kKnownOver = std::chrono::seconds(12);

} // namespace

Replay::Replay(const core::CoreOptions& options, ReplaySettings settings, Lookup truthOf)
    : m_core(options), m_settings(settings), m_truthOf(std::move(truthOf)), m_usage(settings.groups)
{}

void Replay::recover(const work::Recovery& recovery)
{
    auto commands = m_core.recover(recovery, m_now);
    PENSTOCK_CHECK(commands.has_value());
    for (core::Command& command : *commands)
        carryOut(command);
}

void Replay::addMachine(const protocol::MachineFacts& facts)
{
    const std::size_t index = m_machines.size();
    m_machines.emplace_back(facts, m_settings.sharesCores, m_now.mono);
    m_links.emplace_back();
    send(core::MachineConnected{SessionId(index + 1), fmt::format("{:032x}", index + 1), "instance", "local",
                                "1", facts});
    apply();
    report(index);
    apply();
}

void Replay::at(Duration sinceBegin, Action action)
{
    m_actions.push_back(std::move(action));
    ++m_waitingActions;
    push(std::max(kBegin + sinceBegin, m_now.mono), Kind::Act, m_actions.size() - 1, 0);
}

void Replay::send(core::Event event)
{
    m_batch.push_back(std::move(event));
}

void Replay::push(Instant at, Kind kind, std::size_t index, std::uint64_t generation)
{
    m_happenings.push({at, ++m_sequence, kind, index, generation});
}

bool Replay::isIdle() const
{
    const core::Counters& counters = m_core.counters();
    return m_waitingActions == 0 && m_runningSteps == 0 && counters.jobsFinished == counters.jobsSubmitted;
}

void Replay::run(Duration sinceBegin)
{
    const Instant end = kBegin + sinceBegin;
    apply();
    std::uint64_t rounds = 0;
    while (!m_happenings.empty() || m_timer) {
        Instant next = m_happenings.empty() ? *m_timer : m_happenings.top().at;
        if (m_timer)
            next = std::max(m_now.mono, std::min(next, *m_timer));
        if (next > end || (++rounds % 256 == 0 && isIdle()))
            break;
        m_now.wall = m_now.wall + (next - m_now.mono);
        m_now.mono = next;
        if (m_timer && *m_timer <= next) {
            m_timer.reset();
            send(core::TimerFired{});
        }
        while (!m_happenings.empty() && m_happenings.top().at <= next) {
            const Happening happening = m_happenings.top();
            m_happenings.pop();
            happened(happening);
        }
        apply();
    }
}

void Replay::happened(const Happening& happening)
{
    switch (happening.kind) {
    case Kind::Finish:
        if (m_links[happening.index].generation == happening.generation)
            finishDue(happening.index);
        return;
    case Kind::Report: return report(happening.index);
    case Kind::Act:
        --m_waitingActions;
        m_actions[happening.index](*this);
        m_actions[happening.index] = nullptr;
        return;
    }
}

void Replay::finishDue(std::size_t index)
{
    const SessionId session(index + 1);
    while (const auto done = m_machines[index].takeFinished(m_now.mono)) {
        protocol::AttemptResult result;
        result.attempt = done->attempt;
        result.outcome = protocol::Outcome::Succeeded;
        result.startedAt = done->startedWall;
        result.stoppedAt = m_now.wall;
        result.cpuUser = Duration(done->truth.duration.count() * done->truth.milliThreads / 1000);
        send(core::AttemptFinished{session, std::move(result)});
        account(*done);
        --m_runningSteps;
        ++m_finished;
        m_lastFinish = elapsed();
    }
    m_changed.insert(index);
}

void Replay::report(std::size_t index)
{
    MachineModel& machine = m_machines[index];
    machine.advance(m_now.mono);
    core::MachineReported reported{SessionId(index + 1), m_links[index].revision, {}, machine.sample()};
    for (const Running& running : machine.running())
        reported.held.push_back({running.attempt, false});
    send(std::move(reported));
    if (m_settings.reportEvery > Duration(0)) {
        // Machines do not report all at once.
        const Duration spread = m_settings.reportEvery * static_cast<std::int64_t>(index % 16) / 16;
        push(m_now.mono + m_settings.reportEvery + (m_now.mono == kBegin ? spread : Duration(0)),
             Kind::Report, index, 0);
    }
}

void Replay::scheduleFinish(std::size_t index)
{
    Link& link = m_links[index];
    ++link.generation;
    if (const auto next = m_machines[index].nextFinish())
        push(std::max(*next, m_now.mono), Kind::Finish, index, link.generation);
}

void Replay::apply()
{
    while (!m_batch.empty()) {
        std::vector<core::Event> events = std::exchange(m_batch, {});
        events.emplace_back(core::StoreConfirmed{UINT64_MAX});
        for (core::Command& command : m_core.consume(events, m_now))
            carryOut(command);
    }
    for (const std::size_t machine : std::exchange(m_changed, {}))
        scheduleFinish(machine);
}

void Replay::carryOut(core::Command& command)
{
    if (auto* desired = std::get_if<core::SendDesired>(&command))
        return assigned(*desired);
    if (auto* persist = std::get_if<core::Persist>(&command)) {
        for (work::HistoryRow& row : persist->changes.history)
            m_history.insert_or_assign(row.name, std::move(row));
        return;
    }
    if (auto* timer = std::get_if<core::ArmTimer>(&command)) {
        m_timer = timer->at;
        return;
    }
    if (auto* reply = std::get_if<core::Reply>(&command); reply != nullptr && !reply->answer) {
        if (m_refusals++ == 0)
            m_firstRefusal = reply->answer.error().message;
    }
    PENSTOCK_CHECK(!std::holds_alternative<core::CloseSession>(command));
}

void Replay::assigned(const core::SendDesired& command)
{
    const std::size_t index = command.session.value() - 1;
    MachineModel& machine = m_machines[index];
    m_links[index].revision = command.desired.revision;
    for (const protocol::Assignment& assignment : command.desired.assign) {
        machine.advance(m_now.mono);
        if (machine.sinceOverCpu() > kKnownOver)
            ++m_startsUnderPressure;
        machine.start(assignment.attempt, m_truthOf(assignment), m_now);
        ++m_runningSteps;
        m_changed.insert(index);
        send(core::AttemptAnswered{command.session, {assignment.attempt, true, {}, {}}});
    }
    for (const protocol::StopOrder& stop : command.desired.stop) {
        const auto stopped = machine.take(stop.attempt, m_now.mono);
        if (!stopped)
            continue;
        --m_runningSteps;
        account(*stopped);
        m_changed.insert(index);
        protocol::AttemptResult result;
        result.attempt = stop.attempt;
        result.outcome = protocol::Outcome::Cancelled;
        result.startedAt = stopped->startedWall;
        result.stoppedAt = m_now.wall;
        send(core::AttemptFinished{command.session, std::move(result)});
    }
}

void Replay::account(const Running& running)
{
    std::vector<Duration>& spans = m_usage[running.truth.group];
    for (Instant from = running.started; from < m_now.mono;) {
        const auto span = static_cast<std::size_t>((from - kBegin) / kUsageSpan);
        const Instant to = std::min(m_now.mono, kBegin + kUsageSpan * static_cast<std::int64_t>(span + 1));
        if (spans.size() <= span)
            spans.resize(span + 1, Duration(0));
        spans[span] += to - from;
        from = to;
    }
}

std::vector<std::vector<Duration>> Replay::usage()
{
    const auto kept = m_usage;
    for (const MachineModel& machine : m_machines)
        for (const Running& running : machine.running())
            account(running);
    return std::exchange(m_usage, kept);
}

} // namespace penstock::bench
