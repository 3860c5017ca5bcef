// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/stream/record_decode.h"

#include <algorithm>
#include <cmath>

namespace penstock::gui::decode {

namespace {

// As proto/monitor.proto promises them; what a server sends above is left out.
constexpr int kMostSteps = 50;
constexpr int kMostReasons = 40;
constexpr int kMostNumbers = 16;
constexpr int kMostNames = 5;
constexpr int kMostStages = 16;
constexpr int kMostRemoved = 5;

template <class Field, class Take> void takeFirst(const Field& field, int most, Take take)
{
    for (int place = 0; place < std::min(field.size(), most); ++place)
        take(field.Get(place));
}

Reason reasonOf(const monitor::Reason& from)
{
    Reason reason{.code = from.code(), .text = from.text(), .numbers = {}, .remedy = from.remedy(), .names = {}};
    takeFirst(from.numbers(), kMostNumbers, [&](const monitor::ReasonNumber& number) {
        if (std::isfinite(number.value()))
            reason.numbers.emplace_back(number.name(), number.value());
    });
    takeFirst(from.names(), kMostNames, [&](const std::string& name) { reason.names.push_back(name); });
    return reason;
}

FunnelStage stageOf(const monitor::FunnelStage& from)
{
    FunnelStage stage{
        .stage = from.stage(), .left = from.left(), .removedCount = from.removed_count(), .removed = {}};
    takeFirst(from.removed(), kMostRemoved, [&](const monitor::RemovedMachine& removed) {
        stage.removed.push_back({removed.machine(), removed.why()});
    });
    return stage;
}

Result<StepReasons> reasonsOf(const monitor::StepExplanation& from)
{
    PENSTOCK_TRY(const StepId id, idOf<StepId>(from.step_id(), "explanation.step_id"));
    StepReasons step{.step = id,
                     .name = from.name(),
                     .state = stateOf(from.state()),
                     .reasons = {},
                     .funnel = {},
                     .change = from.change(),
                     .earliest = timeOf(from.earliest_us()),
                     .latest = timeOf(from.latest_us())};
    takeFirst(from.reasons(), kMostReasons,
              [&](const monitor::Reason& reason) { step.reasons.push_back(reasonOf(reason)); });
    takeFirst(from.funnel(), kMostStages,
              [&](const monitor::FunnelStage& stage) { step.funnel.push_back(stageOf(stage)); });
    return step;
}

} // namespace

Result<Explanation> explanationOf(const monitor::Explanation& from)
{
    Explanation explanation{.jobState = stateOf(from.job_state()),
                            .evaluated = timeOf(from.evaluated_us()),
                            .steps = {},
                            .more = from.more()};
    for (int place = 0; place < std::min(from.steps_size(), kMostSteps); ++place) {
        PENSTOCK_TRY(StepReasons step, reasonsOf(from.steps(place)));
        explanation.steps.push_back(std::move(step));
    }
    return explanation;
}

} // namespace penstock::gui::decode
