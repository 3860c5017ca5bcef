// SPDX-License-Identifier: GPL-3.0-or-later
// What builders say about attempts. An attempt's id is its fencing number: what is said about one that is over is
// counted and changes nothing.
#include "server/core/detail/farm.h"

#include "server/work/attempt.h"
#include "shared/base/check.h"

#include <algorithm>
#include <fmt/format.h>

namespace penstock::core::detail {
namespace {

work::AttemptEnd endOf(const protocol::AttemptResult& result)
{
    switch (result.outcome) {
    case protocol::Outcome::Succeeded: return result.cached ? work::AttemptEnd::Cached : work::AttemptEnd::Succeeded;
    case protocol::Outcome::Failed: return work::AttemptEnd::Failed;
    case protocol::Outcome::TimedOut: return work::AttemptEnd::TimedOut;
    case protocol::Outcome::SilentTimedOut: return work::AttemptEnd::SilentTimedOut;
    case protocol::Outcome::LogLimit: return work::AttemptEnd::LogLimit;
    case protocol::Outcome::Cancelled: return work::AttemptEnd::Cancelled;
    case protocol::Outcome::Infrastructure: return work::AttemptEnd::Infrastructure;
    case protocol::Outcome::NotDeterministic: return work::AttemptEnd::NotDeterministic;
    case protocol::Outcome::OutputLimit: return work::AttemptEnd::OutputLimit;
    case protocol::Outcome::Transient: return work::AttemptEnd::Transient;
    }
    return work::AttemptEnd::Infrastructure;
}

work::ProductKind kindOf(protocol::ProductKind kind)
{
    switch (kind) {
    case protocol::ProductKind::Unspecified: break;
    case protocol::ProductKind::File: return work::ProductKind::File;
    case protocol::ProductKind::Directory: return work::ProductKind::Directory;
    case protocol::ProductKind::Symlink: return work::ProductKind::Symlink;
    }
    return work::ProductKind::Unknown;
}

work::BuildResults resultsOf(protocol::NixResults&& told)
{
    work::BuildResults results;
    for (protocol::BuildProduct& product : told.products)
        results.products.push_back({std::move(product.type), std::move(product.subtype), std::move(product.output),
                                    std::move(product.path), std::move(product.defaultPath), std::move(product.name),
                                    kindOf(product.kind), product.size, std::move(product.sha256)});
    for (protocol::BuildMetric& metric : told.metrics)
        results.metrics.push_back({std::move(metric.name), metric.value, std::move(metric.unit)});
    results.releaseName = std::move(told.releaseName);
    results.failed = told.failed;
    results.closureSize = told.closureSize;
    return results;
}

bool isGood(std::optional<work::AttemptEnd> end)
{
    return end == work::AttemptEnd::Succeeded || end == work::AttemptEnd::Cached;
}

work::AttemptProgress reportOf(protocol::AttemptResult&& result)
{
    work::AttemptProgress report;
    report.end = endOf(result);
    if (result.startedAt.micros() != 0)
        report.started = result.startedAt;
    if (result.stoppedAt.micros() != 0)
        report.stopped = result.stoppedAt;
    report.exitCode = result.exitCode;
    report.signal = result.signal;
    report.coreDumped = result.coreDumped;
    report.error = std::move(result.error);
    report.cpuUser = result.cpuUser;
    report.cpuSystem = result.cpuSystem;
    report.maxRssBytes = result.maxRssBytes;
    report.logBytes = result.logBytes;
    report.logTruncated = result.logTruncated;
    for (protocol::NixOutput& output : result.outputs)
        report.outputs.push_back(
            {std::move(output.name), std::move(output.path), std::move(output.narHash), output.narSize});
    work::BuildResults results = isGood(report.end) ? resultsOf(std::move(result.results)) : work::BuildResults();
    results.effort = {result.effort.copied, result.effort.rounds, result.effort.isNondeterministic};
    report.results = std::move(results);
    return report;
}

} // namespace

void Farm::on(AttemptFinished& event)
{
    MachineId machineId(0);
    if (machineOf(event.session, &machineId) == nullptr)
        return;
    const AttemptId id = event.result.attempt;
    AttemptRecord* attempt = m_attempts.find(id);
    if (attempt != nullptr && attempt->machine != machineId) {
        ++m_counters.refused;
        return;
    }
    // Known or not, live or over: once this batch is durable, the builder may forget it.
    sendStored(event.session, id);
    if (attempt == nullptr || !attempt->isLive()) {
        ++m_counters.fenced;
        return;
    }
    const bool isFinal = event.result.isFinal && event.result.outcome == protocol::Outcome::Infrastructure;
    work::AttemptProgress report = reportOf(std::move(event.result));
    // Nobody asked for it to stop, so stopping was the machine's fault.
    if (report.end == work::AttemptEnd::Cancelled && !attempt->isStopped())
        report.end = work::AttemptEnd::Infrastructure;
    holdToPromise(m_steps.at(attempt->step), report);
    endAttempt(id, *attempt, std::move(report), event.isMachines, isFinal);
}

// What waits for paths that only this build can tell could never run without them.
void Farm::holdToPromise(const StepRecord& step, work::AttemptProgress& report)
{
    if (!isGood(report.end) || !step.revealsPaths)
        return;
    const work::Work work = step.work.work();
    for (const work::NixOutput& output : std::get<work::NixWork>(work).outputs) {
        const auto told = std::find_if(report.outputs.begin(), report.outputs.end(), [&](const auto& fact) {
            return fact.name == output.name && !fact.path.empty();
        });
        if (told != report.outputs.end())
            continue;
        report.end = work::AttemptEnd::Infrastructure;
        report.error = fmt::format("the builder did not say where output {} of {} is", output.name, step.work.name());
        report.outputs.clear();
        report.results = {};
        return;
    }
}

void Farm::sendStored(SessionId session, AttemptId attempt)
{
    m_stored[session].push_back(attempt);
}

void Farm::countEnd(work::AttemptEnd end)
{
    switch (end) {
    case work::AttemptEnd::Succeeded:
    case work::AttemptEnd::Cached: ++m_counters.finishedOk; return;
    case work::AttemptEnd::Cancelled: ++m_counters.finishedCancelled; return;
    case work::AttemptEnd::Rejected: ++m_counters.rejected; return;
    case work::AttemptEnd::Lost: ++m_counters.lost; return;
    case work::AttemptEnd::Failed:
    case work::AttemptEnd::TimedOut:
    case work::AttemptEnd::SilentTimedOut:
    case work::AttemptEnd::LogLimit:
    case work::AttemptEnd::OutputLimit:
    case work::AttemptEnd::NotDeterministic:
    case work::AttemptEnd::Transient:
    case work::AttemptEnd::Infrastructure: ++m_counters.finishedFailed; return;
    }
}

// Phases are told late and some not at all: what is not known counts as time before building.
void Farm::countTimes(const AttemptRecord& attempt, MachineRecord& machine)
{
    const Instant built = attempt.builtFrom.value_or(m_now.mono);
    const Instant sent = std::max(built, attempt.sentFrom.value_or(m_now.mono));
    for (AttemptTimes* times : {&machine.times, &m_counters.times}) {
        ++times->attempts;
        times->total += m_now.mono - attempt.startedAt;
        times->fetching += built - attempt.startedAt;
        times->building += sent - built;
        times->sending += m_now.mono - sent;
    }
}

void Farm::endAttempt(AttemptId id, AttemptRecord& attempt, work::AttemptProgress report, bool isMachines,
                      bool isFinal)
{
    const work::AttemptEnd end = report.end.value_or(work::AttemptEnd::Infrastructure);
    auto moved = work::next(attempt.progress, work::AttemptOver{std::move(report)}, m_now);
    if (!moved)
        return PENSTOCK_BUG(moved.error().message);
    attempt.progress = *std::move(moved);
    touch(id, attempt);
    learn(attempt, end);
    leaveMachine(id, attempt);
    countEnd(end);
    MachineRecord& machine = m_machines.at(attempt.machine);
    ++machine.finished;
    if (end != work::AttemptEnd::Lost)
        countTimes(attempt, machine);
    if (isMachines && end != work::AttemptEnd::Succeeded && end != work::AttemptEnd::Cached &&
        end != work::AttemptEnd::Cancelled) {
        ++machine.failed;
        machine.lastFailure = m_now.wall;
    }
    if (isMachines)
        judgeMachine(attempt, id, end);
    // Stopped for a job that is gone, while a reopened one needs the step: it is tried again, free of charge.
    const bool wanted = isWanted(attempt.step);
    const bool reveals = m_steps.at(attempt.step).revealsPaths;
    moveStep(attempt.step,
             work::AttemptEnded{.end = end == work::AttemptEnd::Cancelled && wanted ? work::AttemptEnd::Rejected : end,
                                .machine = attempt.machine,
                                .error = attempt.progress.error,
                                .wanted = wanted,
                                .delay = Duration(0),
                                .revealed = reveals ? attempt.progress.outputs : std::vector<work::OutputFact>(),
                                .isFinal = isFinal});
    releaseCancelled(attempt.step);
}

void Farm::leaveMachine(AttemptId id, AttemptRecord& attempt)
{
    MachineRecord& machine = m_machines.at(attempt.machine);
    machine.running.erase(id);
    if (machine.running.empty())
        machine.idleSince = m_now.wall;
    m_ledger.finished(attempt.ticket, m_now);
    m_planner.leaveGates(attempt.ask, attempt.gates);
    if (attempt.isSending)
        --machine.sending;
    else
        m_planner.giveRoom(attempt.machine, attempt.ask);
    attempt.isSending = false;
    m_planner.asks().release(attempt.ask);
    show(attempt.machine);
}

void Farm::loseAttempt(AttemptId id, const std::string& why)
{
    AttemptRecord& attempt = m_attempts.at(id);
    work::AttemptProgress report = attempt.progress;
    report.end = work::AttemptEnd::Lost;
    report.error = why;
    endAttempt(id, attempt, std::move(report));
}

void Farm::on(AttemptAnswered& event)
{
    MachineId machineId(0);
    if (machineOf(event.session, &machineId) == nullptr)
        return;
    AttemptRecord* attempt = m_attempts.find(event.answer.attempt);
    if (attempt != nullptr && attempt->machine != machineId) {
        ++m_counters.refused;
        return;
    }
    if (attempt == nullptr || attempt->progress.state != work::AttemptState::Assigned) {
        if (attempt == nullptr || !attempt->isLive()) // else a repeat
            ++m_counters.fenced;
        return;
    }
    if (event.answer.accepted)
        acceptAttempt(event.answer.attempt, *attempt);
    else
        rejectAttempt(event.answer.attempt, *attempt, event.answer);
}

void Farm::acceptAttempt(AttemptId id, AttemptRecord& attempt)
{
    auto moved = work::next(attempt.progress, work::AttemptAccepted{}, m_now);
    if (!moved)
        return PENSTOCK_BUG(moved.error().message);
    attempt.progress = *std::move(moved);
    attempt.progress.started = m_now.wall; // until the machine says better
    touch(id, attempt);
    m_shownSteps.push_back(attempt.step);
}

// The machine is not asked again for a while. When no other can take the step, the step itself waits, longer each
// time, so that nothing spins.
void Farm::rejectAttempt(AttemptId id, AttemptRecord& attempt, const protocol::AttemptAnswer& answer)
{
    const std::string_view reason = protocol::toString(answer.reason);
    auto moved = work::next(attempt.progress,
                            work::AttemptRejected{answer.text.empty() ? std::string(reason)
                                                                      : fmt::format("{}: {}", reason, answer.text)},
                            m_now);
    if (!moved)
        return PENSTOCK_BUG(moved.error().message);
    attempt.progress = *std::move(moved);
    touch(id, attempt);
    countEnd(work::AttemptEnd::Rejected);
    leaveMachine(id, attempt);
    judgeMachine(attempt, id, work::AttemptEnd::Rejected);
    StepRecord& step = m_steps.at(attempt.step);
    const Instant until = m_now.mono + m_options.rejectedFor;
    step.shun(attempt.machine, until);
    m_deadlines.add({until, DeadlineKind::StepShunEnds, attempt.step.value()});
    Duration delay{0};
    if (!m_planner.hasOpenBeside(step.placement, askOf(step), step.avoided()))
        delay = std::max(work::backOff(m_options.rejection, attempt.step, step.rejections()), Duration(1));
    moveStep(attempt.step, work::AttemptEnded{.end = work::AttemptEnd::Rejected,
                                              .machine = attempt.machine,
                                              .error = attempt.progress.error,
                                              .wanted = isWanted(attempt.step),
                                              .delay = delay});
    releaseCancelled(attempt.step);
}

void Farm::on(AttemptProgressed& event)
{
    MachineId machineId(0);
    if (machineOf(event.session, &machineId) == nullptr)
        return;
    AttemptRecord* attempt = m_attempts.find(event.attempt);
    if (attempt == nullptr || attempt->machine != machineId || !attempt->isLive())
        return; // for display only
    attempt->phase = std::move(event.phase);
    if (attempt->phase == "building" && !attempt->builtFrom)
        attempt->builtFrom = m_now.mono;
    if (attempt->phase == "uploading" && !attempt->sentFrom)
        attempt->sentFrom = m_now.mono;
    followPhase(*attempt);
    if (event.started.micros() != 0)
        attempt->progress.started = event.started;
    m_shownSteps.push_back(attempt->step);
    show(machineId);
}

// Outputs on their way out need neither slot nor cpus: the machine may go on with the next step. At most as many as it
// has slots, so that a machine with a slow line does not pile up what it has built.
void Farm::followPhase(AttemptRecord& attempt)
{
    MachineRecord& machine = m_machines.at(attempt.machine);
    const bool isSending = attempt.phase == "uploading" || (attempt.isSending && attempt.phase == "finishing");
    if (isSending == attempt.isSending || (isSending && machine.sending >= machine.facts.maxJobs))
        return;
    attempt.isSending = isSending;
    if (isSending) {
        ++machine.sending;
        m_planner.giveRoom(attempt.machine, attempt.ask);
    } else {
        --machine.sending;
        if (m_planner.knows(attempt.machine))
            m_planner.takeRoom(attempt.machine, attempt.ask);
    }
}

void Farm::stopAttempt(AttemptId id, const std::string& reason)
{
    AttemptRecord& attempt = m_attempts.at(id);
    if (!attempt.isLive() || attempt.isStopped())
        return;
    attempt.stopReason = reason.empty() ? std::string("not wanted any more") : reason;
    m_deadlines.add({m_now.mono + m_options.stopGrace, DeadlineKind::AttemptStop, id.value()});
    MachineRecord& machine = m_machines.at(attempt.machine);
    if (machine.link == Link::Ready)
        desiredFor(machine).stop.push_back({id, attempt.stopReason});
}

} // namespace penstock::core::detail
