// SPDX-License-Identifier: GPL-3.0-or-later
// Why a step is where it is.
#include "server/core/detail/farm.h"

#include <algorithm>
#include <fmt/format.h>

namespace penstock::core::detail {
namespace {

constexpr std::size_t kNamed = 5;          // machines or steps named in one sentence
constexpr std::uint64_t kCounted = 10'000; // how far the place in a queue is counted

struct Names { // the first few, and how many in all
    std::vector<std::string> first;
    std::size_t count = 0;

    void add(const std::string& name)
    {
        if (++count <= kNamed)
            first.push_back(name);
    }
    [[nodiscard]] std::string text() const
    {
        std::string text = fmt::format("{}", fmt::join(first, ", "));
        if (count > first.size())
            text += fmt::format(" and {} more", count - first.size());
        return text;
    }
};

} // namespace

// What each machine says to one placement, gathered by reason.
struct Farm::Survey {
    std::map<sched::Mismatch, Names> unable;
    Names disconnected;
    Names unknown; // not seen since the server started
    Names draining;
    Names busy;
    std::uint64_t busySlots = 0;
    std::uint64_t busyUsed = 0;
    std::vector<std::pair<std::string, sched::OverThreshold>> over;
    Names avoided;
    std::size_t free = 0;
    std::size_t machines = 0;
    std::size_t able = 0; // of those: could run it if they were here and free
};

Farm::Survey Farm::survey(const StepRecord& step) const
{
    Survey survey;
    const work::Placement& placement = m_planner.placements().at(step.placement);
    const std::vector<MachineId> avoid = step.avoided();
    m_machines.forEach([&](MachineId id, const MachineRecord& machine) {
        ++survey.machines;
        const std::string& name = machine.row.name;
        if (!sched::allowsName(placement, name))
            return survey.unable[{sched::MismatchKind::MachineNotNamed, {}}].add(name);
        if (machine.instance.empty())
            return survey.unknown.add(name);
        if (auto why = sched::mismatch(placement, sched::capabilityOf(machine.facts)))
            return survey.unable[*std::move(why)].add(name);
        ++survey.able;
        if (machine.link != Link::Ready)
            survey.disconnected.add(name);
        else if (machine.isDraining())
            survey.draining.add(name);
        else if (!machine.over.empty())
            survey.over.emplace_back(name, machine.over.front());
        else if (machine.used() >= machine.facts.maxJobs) {
            survey.busy.add(name);
            survey.busySlots += machine.facts.maxJobs;
            survey.busyUsed += machine.used();
        } else if (std::find(avoid.begin(), avoid.end(), id) != avoid.end())
            survey.avoided.add(name);
        else
            ++survey.free;
    });
    return survey;
}

void Farm::explainBlocked(StepId id, StepExplanation& explanation) const
{
    Names waits;
    for (const StepId dependency : m_dag.dependencies(id))
        if (m_dag.outcome(dependency) == work::Dag::Outcome::Open)
            waits.add(m_steps.at(dependency).work.name());
    explanation.reasons.push_back({"waits_for_dependency",
                                   fmt::format("waits for {} other steps: {}", waits.count, waits.text()),
                                   {{"open", static_cast<double>(waits.count)}}});
    explanation.change = "it starts when those have succeeded";
}

void Farm::explainStore(StepExplanation& explanation) const
{
    if (!m_storeOk)
        explanation.reasons.push_back(
            {"database_unavailable",
             fmt::format("nothing new starts while the database is away: {}", m_storeError),
             {}});
    else if (!mayStart())
        explanation.reasons.push_back(
            {"database_unavailable",
             fmt::format("nothing new starts while {} batches wait for the database (limit {})",
                         m_sequence - m_confirmed, m_options.maxUnconfirmed),
             {{"waiting", static_cast<double>(m_sequence - m_confirmed)},
              {"limit", static_cast<double>(m_options.maxUnconfirmed)}}});
}

void Farm::explainUnable(const work::Placement& placement, const Survey& seen, StepExplanation& explanation)
{
    if (seen.machines == 0)
        explanation.reasons.push_back({"no_machines", "no machine has ever connected", {}});
    std::size_t wrongSystem = 0;
    for (const auto& [why, names] : seen.unable)
        wrongSystem += why.kind == sched::MismatchKind::System ? names.count : 0;
    if (wrongSystem > 0 && wrongSystem == seen.machines)
        explanation.reasons.push_back(
            {"no_machine_supports_system",
             fmt::format("none of {} machines supports system {}", seen.machines, placement.system),
             {{"machines", static_cast<double>(seen.machines)}}});
    for (const auto& [why, names] : seen.unable)
        explanation.reasons.push_back(
            {std::string(sched::toString(why.kind)),
             fmt::format("{}{}{}: {}", sched::toString(why.kind), why.what.empty() ? "" : " ", why.what, names.text()),
             {{"machines", static_cast<double>(names.count)}}});
}

void Farm::explainReady(StepId id, const StepRecord& step, StepExplanation& explanation) const
{
    const work::Placement& placement = m_planner.placements().at(step.placement);
    const Survey seen = survey(step);
    const auto add = [&](std::string code, std::string text, std::map<std::string, double> numbers) {
        explanation.reasons.push_back({std::move(code), std::move(text), std::move(numbers)});
    };
    const auto count = [](std::size_t value) { return static_cast<double>(value); };
    explainStore(explanation);
    explainUnable(placement, seen, explanation);
    if (seen.disconnected.count + seen.unknown.count > 0) {
        Names away = seen.disconnected;
        for (const std::string& name : seen.unknown.first)
            away.add(name);
        away.count = seen.disconnected.count + seen.unknown.count;
        add("machine_disconnected", fmt::format("not connected: {}", away.text()), {{"machines", count(away.count)}});
    }
    if (seen.draining.count > 0)
        add("machine_draining", fmt::format("draining: {}", seen.draining.text()),
            {{"machines", count(seen.draining.count)}});
    for (std::size_t i = 0; i < seen.over.size() && i < kNamed; ++i)
        add("over_threshold", fmt::format("{}: {}", seen.over[i].first, sched::describe(seen.over[i].second)),
            {{"value", seen.over[i].second.value}, {"limit", seen.over[i].second.limit}});
    if (seen.busy.count > 0)
        add("all_slots_busy",
            fmt::format("all slots busy ({} of {}) on {}", seen.busyUsed, seen.busySlots, seen.busy.text()),
            {{"used", count(seen.busyUsed)}, {"slots", count(seen.busySlots)}});
    if (seen.avoided.count > 0)
        add("machine_avoided", fmt::format("failed it or refused it before: {}", seen.avoided.text()),
            {{"machines", count(seen.avoided.count)}});
    const std::uint64_t ahead = m_planner.ahead(step.queue, orderOf(id, step), kCounted);
    if (ahead > 0)
        add("behind_in_queue",
            fmt::format("{}{} steps of the same kind are ahead", ahead == kCounted ? "at least " : "", ahead),
            {{"ahead", count(ahead)}});
    if (explanation.reasons.empty())
        add("starting", "a machine is free: it starts with the next planning pass", {});
    explanation.change = changeFor(seen);
}

std::string Farm::changeFor(const Survey& seen) const
{
    if (!mayStart())
        return "it starts when the database is back";
    if (seen.able == 0)
        return "it starts when a machine connects that can run it; compare what it asks for with the machines";
    if (seen.busy.count > 0 || seen.free > 0)
        return "it starts when a slot is free and it is first in its queue";
    if (!seen.over.empty())
        return "it starts when a machine is below its thresholds again";
    if (seen.draining.count > 0)
        return "it starts when a machine is undrained";
    return "it starts when a machine that can run it is connected and free";
}

StepExplanation Farm::explainStep(StepId id, const StepRecord& step, Now now) const
{
    StepExplanation explanation{.step = id, .name = step.work.name(), .state = step.state(), .reasons = {},
                                .change = {}};
    switch (step.state()) {
    case work::StepState::Blocked: explainBlocked(id, explanation); break;
    case work::StepState::Ready: explainReady(id, step, explanation); break;
    case work::StepState::Delayed: {
        const work::StepProgress progress = step.progress();
        const Duration left = std::max(progress.retryAt.value_or(now.wall) - now.wall, Duration(0));
        const auto seconds = std::chrono::ceil<std::chrono::seconds>(left).count();
        explanation.reasons.push_back(
            {"retry_at",
             fmt::format("tries again in {} s, after {} attempts{}{}", seconds, progress.attempts,
                         progress.error.empty() ? "" : "; the last: ", progress.error),
             {{"seconds", static_cast<double>(seconds)}, {"attempts", static_cast<double>(progress.attempts)}}});
        explanation.change = "it waits for a slot when that time has come";
        break;
    }
    case work::StepState::Running: {
        const AttemptRecord& attempt = m_attempts.at(step.newest);
        const std::string& machine = m_machines.at(attempt.machine).row.name;
        explanation.reasons.push_back({attempt.isStopped() ? "cancel_in_progress" : "running",
                                       attempt.isStopped()
                                           ? fmt::format("is being stopped on {}: {}", machine, attempt.stopReason)
                                           : fmt::format("runs on {} as attempt {}", machine, attempt.number),
                                       {{"attempt", static_cast<double>(attempt.number)}}});
        break;
    }
    case work::StepState::Finished:
        explanation.reasons.push_back({"finished", std::string(work::toString(*step.result())), {}});
        break;
    }
    return explanation;
}

Result<Explanation> Farm::explain(JobId id, std::size_t maxSteps, Now now) const
{
    const JobRecord* job = m_jobs.find(id);
    if (job == nullptr || !job->isOpen())
        return fail(ErrorCode::NotFound, fmt::format("no job {}", id.value()));
    Explanation explanation{.job = id, .state = job->progress().state, .steps = {}};
    for (const JobStep& entry : job->steps) {
        const StepRecord* step = m_steps.find(entry.step);
        if (step == nullptr || step->state() == work::StepState::Finished)
            continue;
        if (explanation.steps.size() >= maxSteps)
            break;
        explanation.steps.push_back(explainStep(entry.step, *step, now));
    }
    return explanation;
}

} // namespace penstock::core::detail
