// SPDX-License-Identifier: GPL-3.0-or-later
// Explanations as messages, cut to their bounds.
#include "server/feed/detail/wire.h"
#include "shared/base/text.h"

#include <algorithm>
#include <span>

namespace penstock::feed::wire {
namespace {

std::string bounded(const std::string& text)
{
    // What was cut within a character is mended by utf8().
    return utf8(text.size() > kExplainedTextBytes ? text.substr(0, kExplainedTextBytes) : text);
}

template <class T> std::span<const T> first(const std::vector<T>& all, std::size_t limit)
{
    return {all.data(), std::min(all.size(), limit)};
}

monitor::StepState stateOf(work::StepState state)
{
    switch (state) {
    case work::StepState::Blocked: return monitor::STEP_BLOCKED;
    case work::StepState::Ready: return monitor::STEP_READY;
    case work::StepState::Delayed: return monitor::STEP_DELAYED;
    case work::StepState::Running: return monitor::STEP_RUNNING;
    case work::StepState::Finished: break; // how it ended is in its record
    }
    return monitor::STEP_UNSPECIFIED;
}

void write(monitor::Reason& out, const ReasonEntry& reason)
{
    out.set_code(bounded(reason.code));
    out.set_text(bounded(reason.text));
    for (const auto& [name, value] : first(reason.numbers, kNumbersOfReason)) {
        auto* number = out.add_numbers();
        number->set_name(bounded(name));
        number->set_value(value);
    }
    out.set_remedy(bounded(reason.remedy));
    for (const auto& name : first(reason.names, kNamesOfReason))
        out.add_names(bounded(name));
}

void write(monitor::FunnelStage& out, const FunnelEntry& stage)
{
    out.set_stage(bounded(stage.stage));
    out.set_left(stage.left);
    out.set_removed_count(stage.removedCount);
    for (const auto& removed : first(stage.removed, kRemovedOfStage)) {
        auto* added = out.add_removed();
        added->set_machine(bounded(removed.machine));
        added->set_why(bounded(removed.why));
    }
}

void write(monitor::StepExplanation& out, const StepReasons& step)
{
    out.set_step_id(step.step.value());
    out.set_name(bounded(step.name));
    out.set_state(stateOf(step.state));
    for (const auto& reason : first(step.reasons, kReasonsOfStep))
        write(*out.add_reasons(), reason);
    for (const auto& stage : first(step.funnel, kFunnelStages))
        write(*out.add_funnel(), stage);
    out.set_change(bounded(step.change));
    out.set_earliest_us(micros(step.earliest));
    out.set_latest_us(micros(step.latest));
}

} // namespace

void write(monitor::Explanation& out, const JobReasons& reasons)
{
    out.set_job_id(reasons.job.value());
    out.set_job_state(stateOf(reasons.state));
    out.set_evaluated_us(micros(reasons.evaluated));
    std::size_t bytes = 0;
    for (const auto& step : first(reasons.steps, kExplainedSteps)) {
        write(*out.add_steps(), step);
        bytes += out.steps(out.steps_size() - 1).ByteSizeLong();
        if (bytes <= kExplanationBytes)
            continue;
        out.mutable_steps()->RemoveLast();
        break;
    }
    out.set_more(reasons.more + reasons.steps.size() - static_cast<std::size_t>(out.steps_size()));
}

} // namespace penstock::feed::wire
