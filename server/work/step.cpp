// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/work/step.h"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

namespace penstock::work {
namespace {

void finish(StepProgress& progress, StepResult result, Now now)
{
    progress.state = StepState::Finished;
    progress.result = result;
    progress.retryAt.reset();
    progress.finished = now.wall;
}

void makeReady(StepProgress& progress, Now now)
{
    progress.state = StepState::Ready;
    progress.retryAt.reset();
    progress.readySince = now.wall;
}

void delay(StepProgress& progress, Duration by, Now now)
{
    progress.state = StepState::Delayed;
    progress.retryAt = now.wall + by;
}

void avoid(StepProgress& progress, MachineId machine)
{
    std::erase(progress.avoid, machine);
    progress.avoid.push_back(machine);
    if (progress.avoid.size() > kMaxAvoided)
        progress.avoid.erase(progress.avoid.begin());
}

// One ended attempt; a struct so that each kind of end is one short function.
struct Ending {
    StepProgress& progress;
    const AttemptEnded& ended;
    const RetryRules& rules;
    Now now;

    // Tries again unless nobody wants it any more.
    void again(Duration after)
    {
        if (!ended.wanted)
            finish(progress, StepResult::Cancelled, now);
        else if (after.count() > 0)
            delay(progress, after, now);
        else
            makeReady(progress, now);
    }
    void well(StepResult result)
    {
        progress.revealed = ended.revealed;
        finish(progress, result, now);
    }
    void charged(StepResult result)
    {
        ++progress.failures;
        if (progress.failures > rules.policy.retries || !ended.wanted)
            finish(progress, result, now);
        else
            again(std::max(backOff(rules.policy, rules.step, progress.failures), Duration(1)));
    }
    void infrastructure()
    {
        ++progress.infrastructureFailures;
        avoid(progress, ended.machine);
        const bool isLast = progress.infrastructureFailures > rules.limits.infrastructureFailures || ended.isFinal;
        if (isLast && ended.wanted)
            finish(progress, StepResult::Aborted, now);
        else
            again(std::max(backOff(rules.limits.infrastructure, rules.step, progress.infrastructureFailures),
                           Duration(1)));
    }
    void lost()
    {
        ++progress.losses;
        avoid(progress, ended.machine);
        if (progress.losses > rules.limits.losses && ended.wanted)
            finish(progress, StepResult::Aborted, now);
        else
            again(progress.losses < 3 ? Duration(0) : backOff(rules.limits.loss, rules.step, progress.losses - 2));
    }
    void apply()
    {
        progress.error = ended.error;
        switch (ended.end) {
        case AttemptEnd::Succeeded: return well(StepResult::Succeeded);
        case AttemptEnd::Cached: return well(StepResult::Cached);
        case AttemptEnd::Failed: return charged(StepResult::Failed);
        case AttemptEnd::TimedOut: return charged(StepResult::TimedOut);
        case AttemptEnd::SilentTimedOut: return charged(StepResult::SilentTimedOut);
        case AttemptEnd::LogLimit: return charged(StepResult::LogLimit);
        case AttemptEnd::OutputLimit: return charged(StepResult::OutputLimit);
        case AttemptEnd::NotDeterministic: return finish(progress, StepResult::NotDeterministic, now);
        case AttemptEnd::Cancelled: return finish(progress, StepResult::Cancelled, now);
        case AttemptEnd::Transient:
        case AttemptEnd::Infrastructure: return infrastructure();
        case AttemptEnd::Rejected: return again(ended.delay);
        case AttemptEnd::Lost: return lost();
        }
    }
};

std::string_view nameOf(const StepEvent& event)
{
    struct Names {
        std::string_view operator()(const DependenciesDone&) const { return "dependencies_done"; }
        std::string_view operator()(const DependencyFailed&) const { return "dependency_failed"; }
        std::string_view operator()(const RetryDue&) const { return "retry_due"; }
        std::string_view operator()(const AttemptStarted&) const { return "attempt_started"; }
        std::string_view operator()(const AttemptEnded&) const { return "attempt_ended"; }
        std::string_view operator()(const CancelStep&) const { return "cancel"; }
        std::string_view operator()(const NoMachine&) const { return "no_machine"; }
        std::string_view operator()(const ReopenStep&) const { return "reopen"; }
    };
    return std::visit(Names{}, event);
}

// Each overload applies one event and says whether its cell of the table moves.
struct Transition {
    StepProgress& progress;
    const RetryRules& rules;
    Now now;

    bool operator()(const DependenciesDone&) const
    {
        if (progress.state != StepState::Blocked)
            return false;
        makeReady(progress, now);
        return true;
    }
    bool operator()(const DependencyFailed& event) const
    {
        if (progress.state != StepState::Blocked)
            return false;
        finish(progress, StepResult::DependencyFailed, now);
        progress.failedDependency = event.dependency;
        return true;
    }
    bool operator()(const RetryDue&) const
    {
        if (progress.state != StepState::Delayed)
            return false;
        makeReady(progress, now);
        return true;
    }
    bool operator()(const AttemptStarted&) const
    {
        if (progress.state != StepState::Ready)
            return false;
        progress.state = StepState::Running;
        ++progress.attempts;
        return true;
    }
    bool operator()(const AttemptEnded& event) const
    {
        if (progress.state != StepState::Running)
            return false;
        Ending{progress, event, rules, now}.apply();
        return true;
    }
    bool operator()(const CancelStep& event) const
    {
        switch (progress.state) {
        case StepState::Blocked:
        case StepState::Ready:
        case StepState::Delayed:
            finish(progress, StepResult::Cancelled, now);
            progress.error = event.reason;
            return true;
        case StepState::Running:
        case StepState::Finished: return false;
        }
        return false;
    }
    bool operator()(const NoMachine& event) const
    {
        if (progress.state != StepState::Ready)
            return false;
        finish(progress, StepResult::Unsupported, now);
        progress.error = event.reason;
        return true;
    }
    bool operator()(const ReopenStep& event) const
    {
        if (progress.state != StepState::Finished || !progress.result || isGood(*progress.result))
            return false;
        const std::uint32_t attempts = progress.attempts; // attempt numbers of a step are never used again
        progress = StepProgress{};
        progress.attempts = attempts;
        if (!event.blocked)
            makeReady(progress, now);
        return true;
    }
};

} // namespace

Result<StepProgress> next(const StepProgress& progress, const StepEvent& event, const RetryRules& rules, Now now)
{
    StepProgress moved = progress;
    if (!std::visit(Transition{moved, rules, now}, event))
        return fail(ErrorCode::Conflict, fmt::format("step {} is {}, so {} does not apply to it", rules.step.value(),
                                                     toString(progress.state), nameOf(event)));
    return moved;
}

std::vector<NixOutput> knownOutputs(const Work& work, const StepProgress& progress)
{
    std::vector<NixOutput> known;
    const auto* nix = std::get_if<NixWork>(&work);
    if (nix == nullptr)
        return known;
    for (const NixOutput& output : nix->outputs)
        if (!output.path.empty())
            known.push_back(output);
    for (const OutputFact& output : progress.revealed)
        known.push_back({output.name, output.path});
    return known;
}

} // namespace penstock::work
