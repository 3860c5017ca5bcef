// SPDX-License-Identifier: GPL-3.0-or-later
// Why a step is where it is: its own state, then the machines one by one, then who goes before it.
#include "server/core/detail/survey.h"

#include <algorithm>
#include <fmt/format.h>
#include <unordered_set>

namespace penstock::core::detail {
namespace {

constexpr std::size_t kCounted = 1'000; // how far the place in a queue is counted

double number(std::uint64_t value)
{
    return static_cast<double>(value);
}

std::int64_t seconds(Duration duration)
{
    return std::chrono::ceil<std::chrono::seconds>(duration).count();
}

// Steps that are over are told only when something was not tried because of them.
bool isTold(const StepRecord& step)
{
    return step.state() != work::StepState::Finished || step.result() == work::StepResult::DependencyFailed;
}

} // namespace

// -------------------------------------------------------------------------------------------- waits for other steps

// When what it waits for may be over, as far as that can be said: the latest of those that run.
std::optional<WallTime> Farm::expectedEnd(StepId id) const
{
    const StepRecord* step = m_steps.find(id);
    if (step == nullptr || step->state() != work::StepState::Running)
        return std::nullopt;
    const AttemptRecord& attempt = m_attempts.at(step->newest);
    const WallTime started = attempt.progress.started.value_or(attempt.created);
    return std::max(started + expectedOf(step->work.name()), m_now.wall);
}

void Farm::explainBlocked(StepId id, StepExplanation& explanation, Now now) const
{
    Reason waits{"inputs-not-built", {}};
    std::vector<std::string> parts;
    std::size_t open = 0;
    for (const StepId dependency : m_dag.dependencies(id)) {
        if (m_dag.outcome(dependency) != work::Dag::Outcome::Open)
            continue;
        if (++open > kNamesInReason)
            continue;
        const StepRecord& step = m_steps.at(dependency);
        std::string part = fmt::format("{} ({}", step.work.name(), work::toString(step.state()));
        if (step.state() == work::StepState::Running) {
            const AttemptRecord& attempt = m_attempts.at(step.newest);
            part += fmt::format(" on {}", m_machines.at(attempt.machine).row.name);
            if (const auto end = expectedEnd(dependency)) {
                const std::int64_t left = seconds(std::max(*end - now.wall, Duration(0)));
                part += left > 0 ? fmt::format(", about {} s left", left) : std::string(", longer than expected");
                explanation.earliest = std::max(explanation.earliest.value_or(*end), *end);
            }
        }
        parts.push_back(part + ")");
        waits.names.push_back(step.work.name());
    }
    if (open != 1 || parts.empty() || explanation.earliest <= now.wall)
        explanation.earliest.reset(); // of several, some may not even have begun
    waits.text = fmt::format("waits for {} other {}: {}{}", open, open == 1 ? "step" : "steps", fmt::join(parts, ", "),
                             open > parts.size() ? fmt::format(" and {} more", open - parts.size()) : "");
    waits.numbers = {{"open", number(open)}};
    waits.remedy = "it starts when those have succeeded; ask why those wait";
    explanation.change = waits.remedy;
    explanation.reasons.push_back(std::move(waits));
}

// --------------------------------------------------------------------------------------------------- waits for a time

void Farm::explainDelayed(const StepRecord& step, StepExplanation& explanation, Now now) const
{
    const work::StepProgress progress = step.progress();
    const WallTime due = progress.retryAt.value_or(now.wall);
    const std::int64_t left = seconds(std::max(due - now.wall, Duration(0)));
    std::string where;
    if (const AttemptRecord* last = m_attempts.find(step.newest))
        where = fmt::format(" on {}", m_machines.at(last->machine).row.name);
    explanation.reasons.push_back(
        {.code = "retry-backoff",
         .text = fmt::format("tries again in {} s, after attempt {} failed{}{}{}", left, progress.attempts, where,
                             progress.error.empty() ? "" : ": ", progress.error),
         .numbers = {{"seconds", number(static_cast<std::uint64_t>(left))},
                     {"attempts", number(progress.attempts)},
                     {"failures", number(progress.failures)},
                     {"infrastructure_failures", number(progress.infrastructureFailures)}},
         .remedy = "it waits for room when that time has come"});
    explanation.earliest = due;
    explanation.change = explanation.reasons.back().remedy;
}

// ---------------------------------------------------------------------------------------------------------- is busy

void Farm::explainRunning(const StepRecord& step, StepExplanation& explanation, Now now) const
{
    const AttemptRecord& attempt = m_attempts.at(step.newest);
    const std::string& machine = m_machines.at(attempt.machine).row.name;
    const std::int64_t age = seconds(std::max(now.wall - attempt.created, Duration(0)));
    Reason reason{"running", fmt::format("runs on {} as attempt {}", machine, attempt.number),
                  {{"attempt", number(attempt.number)}, {"seconds", number(static_cast<std::uint64_t>(age))}}};
    if (attempt.isStopped()) {
        reason.code = "cancelled-pending";
        reason.text = fmt::format("is being stopped on {}: {}", machine, attempt.stopReason);
        reason.remedy = fmt::format("it is given up {} s after the stop was sent",
                                    seconds(m_options.stopGrace));
    } else if (attempt.progress.state == work::AttemptState::Assigned) {
        reason.code = "connecting";
        reason.text = fmt::format("was given to {} {} s ago, which has not answered yet", machine, age);
        reason.remedy = fmt::format("if the machine does not come back, another takes it {} s after it was lost",
                                    seconds(m_options.reconnectGrace));
    } else if (attempt.phase == "sending-inputs" || attempt.phase == "preparing") {
        reason.code = "sending-inputs";
        reason.text = fmt::format("{} is getting ready for it ({}) for {} s", machine, attempt.phase, age);
    } else if (const Duration expected = expectedOf(step.work.name());
               m_history.estimate(step.work.name()).has_value()) {
        const std::int64_t left = seconds(expected) - age;
        reason.text += left > 0 ? fmt::format(", about {} s left", left)
                                : fmt::format(", {} s longer than expected", -left);
    }
    reason.names.push_back(machine);
    explanation.reasons.push_back(std::move(reason));
}

// ------------------------------------------------------------------------------------------------- waits for a machine

// What keeps every step of the farm from starting, or this one by its jobs' word.
void Farm::explainStopped(StepId id, const StepRecord& step, StepExplanation& explanation) const
{
    const auto add = [&](Reason reason) { explanation.reasons.push_back(std::move(reason)); };
    if (!m_storeOk)
        add({.code = "database-away",
             .text = fmt::format("nothing new starts while the database is away: {}", m_storeError),
             .remedy = "bring the database back; what runs goes on meanwhile"});
    else if (m_sequence - m_confirmed > m_options.maxUnconfirmed)
        add({.code = "server-busy",
             .text = fmt::format("nothing new starts while {} batches wait for the database (limit {})",
                                 m_sequence - m_confirmed, m_options.maxUnconfirmed),
             .numbers = {{"waiting", number(m_sequence - m_confirmed)}, {"limit", number(m_options.maxUnconfirmed)}},
             .remedy = "find out what slows the database down"});
    if (m_pause.paused)
        add({.code = "dispatch-paused",
             .text = fmt::format("nothing starts on this farm: paused by {}{}{}",
                                 m_pause.who.empty() ? "an operator" : m_pause.who, m_pause.note.empty() ? "" : ": ",
                                 m_pause.note),
             .remedy = "penstock resume"});
    if (step.isQueued)
        return;
    Reason held{.code = "held", .text = "every job that needs it is held", .remedy = "penstock release"};
    std::vector<JobId> users(m_dag.users(id).begin(), m_dag.users(id).end());
    if (users.empty())
        users.push_back(jobFor(id)); // one of those above it
    for (const JobId user : users) {
        const JobRecord& job = m_jobs.at(user);
        if (!job.isOpen() || held.names.size() >= kNamesInReason)
            continue;
        held.names.push_back(fmt::format("{}", user.value()));
        if (!job.progress().holdNote.empty())
            held.text += fmt::format(" (job {}: {})", user.value(), job.progress().holdNote);
    }
    add(std::move(held));
}

// A gate that is closed for it: its concurrency group, or its namespace.
void Farm::explainGate(const StepRecord& step, const Needs::View& need, StepExplanation& explanation) const
{
    const sched::Gates& gates = m_planner.gates();
    const std::uint32_t cpus = m_planner.asks().cpus(step.ask);
    const sched::GateIndex closed = gates.closedFor(gatesOf(need), cpus);
    if (closed == 0)
        return;
    const sched::Gates::Gate& gate = gates.at(closed);
    const bool isSteps = gate.limits.steps != 0 && gate.steps >= gate.limits.steps;
    const std::string count = isSteps
                                  ? fmt::format("{} steps run, the limit is {}", gate.steps, gate.limits.steps)
                                  : fmt::format("{} cpus are taken, it wants {}, the limit is {}", gate.cpus, cpus,
                                                gate.limits.cpus);
    Reason reason{.code = {}, .text = {}};
    reason.numbers = {{"running", number(gate.steps)},
                      {"cpus", number(gate.cpus)},
                      {"limit", number(isSteps ? gate.limits.steps : gate.limits.cpus)}};
    if (gate.key->scope == sched::GateScope::Concurrency) {
        reason.code = "concurrency-limit";
        reason.text = fmt::format("concurrency group {}: {}", gate.key->group, count);
        reason.names = {gate.key->group};
        reason.remedy = "it starts when another step of the group has ended";
    } else {
        reason.code = "namespace-limit";
        reason.text = fmt::format("namespace {}: {}", gate.key->nameSpace, count);
        reason.names = {gate.key->nameSpace};
        const bool isNever = !isSteps && cpus > gate.limits.cpus;
        reason.remedy = fmt::format("{}; raise it with penstock namespace set {}",
                                    isNever ? "it can never start under this limit"
                                            : "it starts when another of its steps has ended",
                                    gate.key->nameSpace);
    }
    explanation.reasons.push_back(std::move(reason));
}

void Farm::explainOrder(const sched::Planner::Ahead& ahead, std::uint64_t inGroup, StepExplanation& explanation) const
{
    if (ahead.bumped > 0)
        explanation.reasons.push_back(
            {.code = "behind-higher-priority",
             .text = fmt::format("{} bumped steps for the same machines are ahead", ahead.bumped),
             .numbers = {{"ahead", number(ahead.bumped)}},
             .remedy = "penstock bump puts it before them"});
    if (ahead.byShare > 0) {
        Reason reason{.code = "jobset-share", .text = {}, .numbers = {{"ahead", number(ahead.byShare)}}};
        for (const sched::ShareIndex share : ahead.groups)
            if (const auto found = m_shares.find(share); found != m_shares.end())
                reason.names.push_back(found->second.name);
        reason.text = fmt::format("{} steps of share groups that have used less for their shares are ahead: {}",
                                  ahead.byShare, fmt::join(reason.names, ", "));
        reason.remedy = "more shares for its group (penstock namespace set), or a bump, put it further ahead";
        explanation.reasons.push_back(std::move(reason));
    }
    if (inGroup > 0)
        explanation.reasons.push_back(
            {.code = "behind-in-queue",
             .text = fmt::format("{}{} steps of its own share group are ahead",
                                 inGroup == kCounted ? "at least " : "", inGroup),
             .numbers = {{"ahead", number(inGroup)}},
             .remedy = "a higher priority of its job puts it further ahead, unless more work waits for the others"});
}

MachineSight Farm::sightOf(MachineId id, const MachineRecord& machine) const
{
    if (!m_planner.knows(id))
        return {.machine = machine};
    return {.machine = machine,
            .room = &m_planner.room(id),
            .capability = &m_planner.capability(id),
            .isReserved = m_planner.isReserved(id),
            .isWaitingForReport = m_planner.isWaitingForReport(id)};
}

// Steps of one kind hear the same from every machine: each kind asks them once.
const Survey& Farm::surveyFor(const StepRecord& step, Inquiry& inquiry, Now now) const
{
    const sched::Ask ask = askOf(step);
    std::vector<MachineId> avoided = step.avoided();
    const auto [found, isNew] = inquiry.surveys.try_emplace(std::tuple(step.placement, ask, avoided),
                                                            m_planner.placements().at(step.placement), ask, avoided);
    Survey& survey = found->second;
    if (!isNew)
        return survey;
    m_machines.forEach([&](MachineId id, const MachineRecord& machine) {
        MachineSight sight = sightOf(id, machine);
        // For this step it is not kept from anybody.
        sight.isReserved = sight.isReserved && !(step.isQueued && m_planner.isReservedFor(id, step.queue));
        survey.add(id, sight, now);
    });
    std::optional<WallTime> first;
    for (const MachineId machine : survey.busy())
        for (const AttemptId attempt : m_machines.at(machine).running)
            if (const auto end = expectedEnd(m_attempts.at(attempt).step); end && (!first || *end < *first))
                first = end;
    survey.setFirstEnd(first);
    return survey;
}

// The leaves are walked over once for all steps that stand in one line.
const sched::Planner::Ahead& Farm::aheadOf(const StepRecord& step, Inquiry& inquiry) const
{
    const sched::Planner::Line line = m_planner.lineOf(step.queue);
    auto found = inquiry.lines.find(line);
    if (found == inquiry.lines.end()) {
        found = inquiry.lines.emplace(line, m_planner.ahead(line, kCounted)).first;
        inquiry.looked += found->second.looked;
    }
    return found->second;
}

// Slots end one after another: about as many as there are, each expected time.
void Farm::explainStart(const StepRecord& step, const Survey& survey, std::uint64_t before,
                        StepExplanation& explanation) const
{
    const std::optional<WallTime> first = survey.firstEnd();
    if (survey.full() == 0 || survey.free() > 0 || !first || !step.isQueued)
        return;
    explanation.earliest = first;
    constexpr std::uint64_t kMostRounds = 10'000; // of at most 366 days each: what machines tell overflows nothing
    const std::uint64_t rounds = std::min(1 + before / std::max<std::uint64_t>(survey.slots(), 1), kMostRounds);
    explanation.latest = *first + m_typical * static_cast<std::int64_t>(rounds);
}

void Farm::explainReady(StepId id, const StepRecord& step, StepExplanation& explanation, Inquiry& inquiry,
                        Now now) const
{
    explainStopped(id, step, explanation);
    if (step.isQueued)
        explainGate(step, needOf(id), explanation);
    const Survey& survey = surveyFor(step, inquiry, now);
    if (explanation.reasons.empty() && survey.free() > 0) // the server has more to start than one pass allows
        explanation.reasons.push_back(
            {.code = "starting", .text = "a machine has room: it starts with the next planning pass, which is due now",
             .numbers = {{"visits", number(m_options.visitsPerPass)}}});
    survey.tell(explanation);
    std::uint64_t before = 0;
    if (step.isQueued && survey.free() == 0) {
        const sched::Planner::Ahead& ahead = aheadOf(step, inquiry);
        const std::uint64_t inGroup = ahead.inGroup({step.urgency, step.age, id});
        before = ahead.bumped + ahead.byShare + inGroup;
        explainOrder(ahead, inGroup, explanation);
    }
    explanation.change = explanation.reasons.front().remedy;
    explainStart(step, survey, before, explanation);
}

StepExplanation Farm::explainOne(StepId id, const StepRecord& step, Inquiry& inquiry, Now now) const
{
    StepExplanation explanation{.step = id, .name = step.work.name(), .state = step.state(), .reasons = {}};
    switch (step.state()) {
    case work::StepState::Blocked: explainBlocked(id, explanation, now); break;
    case work::StepState::Ready: explainReady(id, step, explanation, inquiry, now); break;
    case work::StepState::Delayed: explainDelayed(step, explanation, now); break;
    case work::StepState::Running: explainRunning(step, explanation, now); break;
    case work::StepState::Finished: {
        const work::StepProgress progress = step.progress();
        if (progress.failedDependency) {
            const StepRecord* cause = m_steps.find(*progress.failedDependency);
            const std::string name = cause == nullptr ? fmt::format("step {}", progress.failedDependency->value())
                                                      : cause->work.name();
            if (cause == nullptr && !progress.error.empty()) { // its error says what did not succeed
                explanation.reasons.push_back({.code = "failed-input",
                                               .text = fmt::format("was not tried: {}", progress.error),
                                               .remedy = "mend that, then penstock retry"});
                break;
            }
            explanation.reasons.push_back({.code = "failed-input",
                                           .text = fmt::format("was not tried: {} did not succeed{}{}", name,
                                                               cause == nullptr || cause->progress().error.empty()
                                                                   ? "" : ": ",
                                                               cause == nullptr ? "" : cause->progress().error),
                                           .remedy = "mend that, then penstock retry",
                                           .names = {name}});
        }
        break;
    }
    }
    return explanation;
}

// What it claims and is told of; then what is open below that and perhaps nobody's: each once, until visit returns
// false or so many of these have been seen. False: there may be others.
template <class Visit> bool Farm::forEachTold(const JobRecord& job, Visit visit) const
{
    std::vector<StepId> steps;
    for (const JobStep& entry : job.steps)
        if (const StepRecord* step = m_steps.find(entry.step); step != nullptr && isTold(*step))
            steps.push_back(entry.step);
    std::unordered_set<std::uint64_t> seen;
    for (const StepId step : steps)
        seen.insert(step.value());
    const std::size_t most = steps.size() + Explanation::kCountedBelow;
    for (std::size_t done = 0; done < steps.size(); ++done) {
        const StepId step = steps[done];
        if (done == most || !visit(step))
            return false;
        if (m_dag.outcome(step) != work::Dag::Outcome::Open)
            continue;
        for (const StepId below : m_dag.dependencies(step))
            if (steps.size() <= most && m_dag.outcome(below) == work::Dag::Outcome::Open &&
                seen.insert(below.value()).second)
                steps.push_back(below);
    }
    return true;
}

Result<Explanation> Farm::explain(JobId id, std::size_t maxSteps, Now now) const
{
    const JobRecord* job = m_jobs.find(id);
    if (job == nullptr || !job->isOpen())
        return fail(ErrorCode::NotFound, fmt::format("no job {}", id.value()));
    Explanation explanation{.job = id, .state = job->progress().state, .evaluated = now.wall};
    Inquiry inquiry;
    static_cast<void>(forEachTold(*job, [&](StepId step) {
        if (explanation.steps.size() >= maxSteps)
            ++explanation.more;
        else
            explanation.steps.push_back(explainOne(step, m_steps.at(step), inquiry, now));
        return true;
    }));
    explanation.looked = inquiry.looked;
    return explanation;
}

Result<Explanation> Farm::explainStep(JobId id, StepId stepId, Now now) const
{
    const JobRecord* job = m_jobs.find(id);
    if (job == nullptr || !job->isOpen())
        return fail(ErrorCode::NotFound, fmt::format("no job {}", id.value()));
    Explanation explanation{.job = id, .state = job->progress().state, .evaluated = now.wall};
    const StepRecord* step = m_steps.find(stepId);
    if (step == nullptr || !isTold(*step))
        return explanation;
    if (job->find(stepId) == nullptr) { // it may be below; what is beyond the bound is explained to whoever asks
        bool isBelow = false;
        const bool isAll = forEachTold(*job, [&](StepId told) {
            isBelow = told == stepId;
            return !isBelow;
        });
        if (isAll && !isBelow)
            return explanation;
    }
    Inquiry inquiry;
    explanation.steps.push_back(explainOne(stepId, *step, inquiry, now));
    explanation.looked = inquiry.looked;
    return explanation;
}

} // namespace penstock::core::detail
