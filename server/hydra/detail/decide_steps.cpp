// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/hydra/detail/decision.h"

#include <algorithm>
#include <fmt/format.h>
#include <limits>

namespace penstock::hydra::detail {
namespace {

std::string knownPath(const work::NixOutput& output, const std::vector<work::OutputFact>& told)
{
    const auto found = std::ranges::find(told, output.name, &work::OutputFact::name);
    return found != told.end() && !found->path.empty() ? found->path : output.path;
}

std::string baseName(const std::string& path)
{
    return path.substr(path.rfind('/') + 1);
}

// An older builder does not say how often it has built what it found to be not deterministic.
StepEffort effortOf(Status status, const work::BuildEffort& told)
{
    constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
    StepEffort effort;
    const std::int64_t overhead = std::chrono::duration_cast<std::chrono::milliseconds>(told.copied).count();
    if (overhead > 0)
        effort.overhead = static_cast<std::int32_t>(std::min(overhead, kMost));
    const bool differs = status == Status::NotDeterministic || told.isNondeterministic;
    const std::int64_t rounds = std::max<std::int64_t>(told.rounds, differs ? 2 : 0);
    if (rounds > 1) {
        effort.timesBuilt = static_cast<std::int32_t>(std::min(rounds, kMost));
        effort.isNondeterministic = differs;
    }
    return effort;
}

} // namespace

void Decision::notify(std::string_view channel, std::string payload)
{
    m_rows.notifications.push_back({channel, std::move(payload)});
}

Decision::Times Decision::nowTimes() const
{
    const Seconds now = secondsOf(m_facts.now).value_or(1); // the columns refuse 0
    return {now, now};
}

// The builder's own times, as far as they can be believed.
Decision::Times Decision::timesOf(const AttemptFacts& attempt) const
{
    const Seconds now = nowTimes().stop;
    const Seconds stop = secondsOf(attempt.progress.stopped).value_or(now);
    const std::optional<Seconds> start = secondsOf(attempt.progress.started);
    return {std::min(start ? *start : secondsOf(attempt.created).value_or(stop), stop), stop};
}

const StepFacts* Decision::findStep(StepId id) const
{
    const auto found = m_facts.steps.find(id);
    return found == m_facts.steps.end() ? nullptr : &found->second;
}

const AttemptFacts* Decision::findAttempt(std::optional<AttemptId> id) const
{
    const auto found = id ? m_facts.attempts.find(*id) : m_facts.attempts.end();
    return found == m_facts.attempts.end() ? nullptr : &found->second;
}

std::int32_t Decision::nextStep(BuildId build, std::int32_t last)
{
    return ++m_lastSteps.emplace(build, last).first->second;
}

// At most once for each build and run, and before anything else that is told of it.
void Decision::tellStarted(BuildId build, bool wasStarted)
{
    if (wasStarted || !m_started.insert(build).second)
        return;
    m_rows.startedBuilds.push_back(build);
    notify("build_started", std::to_string(build));
}

void Decision::startSteps()
{
    m_rows.running = m_facts.running;
    for (const Start& start : m_facts.starts) {
        m_rows.newest = std::max(m_rows.newest.value_or(start.attempt), start.attempt);
        const Candidate* candidate = choose(start);
        if (candidate == nullptr)
            m_rows.overAttempts.push_back(start.attempt);
        else if (candidate->isHeld)
            startStep(start, *candidate);
        else
            deferStart(start, *candidate);
    }
}

// The build of the job it was made for, else one whose own derivation it is.
const Candidate* Decision::choose(const Start& start) const
{
    const auto ofJob = std::ranges::find_if(start.candidates, &Candidate::isOfJob);
    if (ofJob != start.candidates.end())
        return &*ofJob;
    const auto own = std::ranges::find_if(start.candidates, &Candidate::isOwn);
    return own == start.candidates.end() ? nullptr : &*own;
}

// A row would have to wait for whoever holds its build, and everything with it.
void Decision::deferStart(const Start& start, const Candidate& candidate)
{
    const AttemptFacts* attempt = findAttempt(start.attempt);
    if (attempt == nullptr)
        return;
    m_accounted.emplace(start.attempt, candidate.build);
    m_rows.places.push_back({start.attempt, attempt->step, candidate.build, 0});
}

void Decision::startStep(const Start& start, const Candidate& candidate)
{
    const AttemptFacts* attempt = findAttempt(start.attempt);
    const StepFacts* step = attempt == nullptr ? nullptr : findStep(attempt->step);
    if (step == nullptr)
        return;
    const auto resolution = m_facts.resolutions.find(start.attempt);
    const bool isResolved = resolution != m_facts.resolutions.end();
    m_lastSteps.emplace(candidate.build, candidate.lastStep);
    if (isResolved && resolution->second.isFirst)
        resolve(*step, candidate.build, resolution->second);

    const bool isOver = attempt->progress.state == work::AttemptState::Ended;
    StepRow row;
    row.build = candidate.build;
    row.stepnr = nextStep(candidate.build, candidate.lastStep);
    row.drvPath = isResolved ? resolution->second.resolvedDrvPath : step->drvPath;
    row.busy = attempt->progress.state == work::AttemptState::Running ? kBusyConnecting : kBusyPreparing;
    row.start = timesOf(*attempt).start;
    row.machine = attempt->machine;
    row.system = step->system;
    const AttemptPlace place{start.attempt, attempt->step, row.build, row.stepnr};
    notify("step_started", fmt::format("{}\t{}", row.build, row.stepnr));
    if (candidate.isOwn)
        tellStarted(row.build, candidate.started);
    m_accounted.emplace(start.attempt, row.build);
    bool isGood = false;
    if (isOver) {
        const Status status = statusOf(attempt->progress.end.value_or(work::AttemptEnd::Infrastructure));
        isGood = status == Status::Succeeded;
        row.busy = 0;
        row.status = status;
        row.error = errorTextOf(status, attempt->progress.error);
        row.stop = timesOf(*attempt).stop;
        row.effort = effortOf(status, attempt->progress.results.get().effort);
        m_rows.overAttempts.push_back(start.attempt);
        tellStepEnd(place, *attempt, row.drvPath);
    } else {
        m_rows.places.push_back(place);
    }
    for (const work::NixOutput& output : step->outputs)
        m_rows.stepOutputs.push_back({row.build, row.stepnr, output.name,
                                      isGood ? knownPath(output, attempt->progress.outputs) : output.path});
    m_rows.steps.push_back(std::move(row));
}

// What the derivation became is built by the row after this one.
void Decision::resolve(const StepFacts& step, BuildId build, const Resolution& resolution)
{
    StepRow row;
    row.build = build;
    row.stepnr = nextStep(build, 0);
    row.drvPath = step.drvPath;
    row.status = Status::Resolved;
    row.start = nowTimes().start;
    row.stop = nowTimes().stop;
    row.system = step.system;
    row.resolved = baseName(resolution.resolvedDrvPath);
    for (const work::NixOutput& output : step.outputs)
        m_rows.stepOutputs.push_back({build, row.stepnr, output.name, output.path});
    m_rows.steps.push_back(std::move(row));
}

void Decision::endSteps()
{
    for (const OpenRow& row : m_facts.ended)
        endStep(row);
}

void Decision::endStep(const OpenRow& row)
{
    if (row.stepnr == 0)
        return; // it starts and ends at once
    const AttemptFacts* attempt = findAttempt(row.attempt);
    const StepFacts* step = attempt == nullptr ? nullptr : findStep(attempt->step);
    if (row.hold == OpenRow::Hold::Gone || step == nullptr) {
        m_rows.overAttempts.push_back(row.attempt);
        return;
    }
    m_accounted.emplace(row.attempt, row.build);
    if (row.hold == OpenRow::Hold::Others) {
        m_rows.deferredAttempts.push_back(row.attempt);
        return;
    }
    m_rows.overAttempts.push_back(row.attempt);
    const Status status = statusOf(attempt->progress.end.value_or(work::AttemptEnd::Infrastructure));
    const Times times = timesOf(*attempt);
    const bool isOwnTime = secondsOf(attempt->progress.started).has_value();
    m_rows.stepEnds.push_back({row.build, row.stepnr, status, errorTextOf(status, attempt->progress.error),
                               isOwnTime ? std::optional(times.start) : std::nullopt, times.stop,
                               effortOf(status, attempt->progress.results.get().effort)});
    if (status == Status::Succeeded)
        for (const work::NixOutput& output : step->outputs)
            if (std::string path = knownPath(output, attempt->progress.outputs); path != output.path)
                m_rows.stepPaths.push_back({row.build, row.stepnr, output.name, std::move(path)});
    tellStepEnd({row.attempt, attempt->step, row.build, row.stepnr}, *attempt,
                row.drvPath.empty() ? step->drvPath : row.drvPath);
}

// What has begun to run has a log file, though nothing was printed or the builder is lost with what it could have told.
void Decision::tellStepEnd(const AttemptPlace& place, const AttemptFacts& attempt, const std::string& drvPath)
{
    const work::AttemptProgress& progress = attempt.progress;
    const bool hasRun = progress.started && progress.end != work::AttemptEnd::Cached &&
                        progress.end != work::AttemptEnd::Rejected;
    const std::string log = logFieldOf(logPathOf(m_rules.dataDir, drvPath), hasRun);
    notify("step_finished", fmt::format("{}\t{}\t{}", place.build, place.stepnr, log));
}

} // namespace penstock::hydra::detail
