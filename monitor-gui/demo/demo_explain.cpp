// SPDX-License-Identifier: GPL-3.0-or-later
// Why steps of the simulated farm wait, told as a server tells it.
#include "monitor-gui/demo/demo_farm.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <initializer_list>

namespace penstock::gui {

namespace {

using namespace std::string_view_literals;

constexpr int kMostSteps = 50;
constexpr int kMostNames = 5;
constexpr std::array kStages = {"known"sv,   "executor"sv,  "system"sv,    "features"sv,
                                "enabled"sv, "connected"sv, "not_gated"sv, "room"sv};

struct Number {
    std::string_view name;
    double value;
};

monitor::Reason& addReason(monitor::StepExplanation& out, std::string_view code, std::string text,
                           std::initializer_list<Number> numbers, std::string remedy)
{
    monitor::Reason& reason = *out.add_reasons();
    reason.set_code(std::string(code));
    reason.set_text(std::move(text));
    for (const Number& number : numbers) {
        monitor::ReasonNumber& added = *reason.add_numbers();
        added.set_name(std::string(number.name));
        added.set_value(number.value);
    }
    reason.set_remedy(std::move(remedy));
    return reason;
}

struct StageReason {
    std::string_view stage;
    std::string_view code;
    std::string_view one;  // "1 machine …"
    std::string_view many; // "3 machines …"
    std::string_view remedy;
};
constexpr std::array kStageReasons = {
    StageReason{"system", "unsupported-system", "has another system", "have other systems",
                "connect a builder of that system"},
    StageReason{"features", "missing-feature", "lacks a feature it needs", "lack a feature it needs",
                "give a builder the feature, or take it from the derivation"},
    StageReason{"enabled", "all-draining", "takes no work (draining or quarantined)",
                "take no work (draining or quarantined)", "penstock machine NAME --undrain, or --trust"},
    StageReason{"connected", "all-lost", "is not connected", "are not connected", "start penstock-builder there"},
    StageReason{"not_gated", "gated-io", "is over its io pressure", "are over their io pressure",
                "wait until its disks are quieter, or raise the threshold: penstock machine NAME --set io-psi=60"},
    StageReason{"room", "slots-full", "is full", "are full", "wait for a slot, or add builders"},
};

} // namespace

void DemoFarm::explainBlocked(const DemoStep& step, monitor::StepExplanation& out) const
{
    std::vector<std::string> names;
    for (const std::uint64_t id : step.record.depends_on()) {
        const monitor::StepRecord& input = m_steps.at(id).record;
        if (input.state() != monitor::STEP_SUCCEEDED)
            names.push_back(input.state() == monitor::STEP_RUNNING
                                ? fmt::format("{} (runs on {})", input.name(), input.machine())
                                : input.name());
    }
    monitor::Reason& reason =
        addReason(out, "inputs-not-built", fmt::format("waits for {} of its {} inputs", names.size(),
                                                       step.record.depends_on_size()),
                  {{"open", static_cast<double>(names.size())},
                   {"inputs", static_cast<double>(step.record.depends_on_size())}},
                  "penstock bump the job, so that its inputs go first");
    for (std::size_t place = 0; place < std::min<std::size_t>(names.size(), kMostNames); ++place)
        reason.add_names(names[place]);
    out.set_change("it is ready when those have succeeded");
}

void DemoFarm::explainOrder(const DemoStep& step, monitor::StepExplanation& out) const
{
    std::uint64_t ahead = 0;
    for (const std::uint64_t id : m_ready) {
        if (id == step.record.id())
            break;
        const DemoStep& other = m_steps.at(id);
        ahead += other.system == step.system ? 1U : 0U;
    }
    if (ahead > 0)
        addReason(out, "behind-in-queue", fmt::format("{} ready steps for the same machines are ahead of it", ahead),
                  {{"ahead", static_cast<double>(ahead)}}, "penstock bump puts its job first");
    for (const monitor::ShareRecord& share : shares()) {
        if (share.group() == step.group && share.used_percent() > share.target_percent() + 2)
            addReason(out, "jobset-share",
                      fmt::format("its share group {} has used {:.1f}% of the farm, its share is {:.1f}%", step.group,
                                  share.used_percent(), share.target_percent()),
                      {{"used_percent", share.used_percent()}, {"target_percent", share.target_percent()}},
                      fmt::format("penstock namespace set {} --shares {}", step.group, share.shares() * 2));
    }
}

void DemoFarm::explainStep(const DemoStep& step, monitor::StepExplanation& out) const
{
    out.set_step_id(step.record.id());
    out.set_name(step.record.name());
    out.set_state(step.record.state());
    if (step.record.state() == monitor::STEP_BLOCKED)
        return explainBlocked(step, out);
    if (step.record.state() == monitor::STEP_RUNNING) {
        addReason(out, "running", fmt::format("runs on {}, {}", step.record.machine(), step.record.phase()),
                  {{"elapsed_seconds", static_cast<double>((micros() - step.record.started_us()) / 1'000'000)}}, "");
        return;
    }
    if (m_pausedSince != 0)
        addReason(out, "dispatch-paused", "ada has paused dispatch: moving the store to new disks", {},
                  "penstock resume");
    std::vector<std::string_view> outAt; // the stage that takes each machine out
    for (const monitor::MachineRecord& machine : m_machines)
        outAt.push_back(demoStage(machine, step));
    auto left = static_cast<std::uint32_t>(m_machines.size());
    std::vector<const StageReason*> applying;
    for (const std::string_view name : kStages) {
        monitor::FunnelStage& stage = *out.add_funnel();
        stage.set_stage(std::string(name));
        for (std::size_t place = 0; place < outAt.size(); ++place) {
            if (outAt[place] != name)
                continue;
            stage.set_removed_count(stage.removed_count() + 1);
            if (stage.removed_size() >= kMostNames)
                continue;
            monitor::RemovedMachine& removed = *stage.add_removed();
            removed.set_machine(m_machines[place].name());
            removed.set_why(demoWhy(m_machines[place], name, m_now));
        }
        left -= stage.removed_count();
        stage.set_left(left);
        const auto reason = std::find_if(kStageReasons.begin(), kStageReasons.end(),
                                         [&](const StageReason& each) { return each.stage == name; });
        // Machines that others are left for are no reason to wait; the funnel shows them.
        const bool binds = left == 0 || name == "not_gated" || name == "room";
        if (reason != kStageReasons.end() && stage.removed_count() > 0 && binds)
            applying.push_back(&*reason);
        if (left == 0)
            break;
    }
    // The last to leave is what binds; so the stages in reverse.
    std::reverse(applying.begin(), applying.end());
    for (const StageReason* reason : applying) {
        const auto stage = std::find_if(out.funnel().begin(), out.funnel().end(),
                                        [&](const auto& each) { return each.stage() == reason->stage; });
        const std::uint32_t count = stage->removed_count();
        monitor::Reason& added = addReason(
            out, reason->code,
            fmt::format("{} of {} machine{} {}", count, m_machines.size(), m_machines.size() == 1 ? "" : "s",
                        count == 1 ? reason->one : reason->many),
            {{"machines", static_cast<double>(count)}, {"left", static_cast<double>(stage->left())}},
            std::string(reason->remedy));
        for (const monitor::RemovedMachine& removed : stage->removed())
            added.add_names(removed.machine());
    }
    explainOrder(step, out);
    if (out.reasons_size() == 0)
        addReason(out, "starting", "is about to start", {}, "");
    const bool never = left == 0 && !applying.empty() &&
                       (applying.front()->stage == "system" || applying.front()->stage == "features");
    const bool full = !applying.empty() && applying.front()->stage == "room";
    out.set_change(never  ? "it starts when a machine that can run it connects"
                   : full ? "it starts when a slot is free on one of those machines"
                          : "it starts when one of those machines can take it");
    if (full && m_pausedSince == 0) {
        out.set_earliest_us(micros() + 20'000'000);
        out.set_latest_us(micros() + 140'000'000);
    }
}

std::optional<monitor::Explanation> DemoFarm::explain(std::uint64_t jobId, std::uint64_t stepId) const
{
    const auto job = m_jobs.find(jobId);
    if (job == m_jobs.end())
        return std::nullopt;
    monitor::Explanation explanation;
    explanation.set_job_id(jobId);
    explanation.set_job_state(job->second.state());
    explanation.set_evaluated_us(micros());
    for (const std::uint64_t id : m_jobSteps.at(jobId)) {
        const DemoStep& step = m_steps.at(id);
        const bool over = step.record.finished_us() != 0;
        if (over || (stepId != 0 && id != stepId))
            continue;
        if (explanation.steps_size() < kMostSteps)
            explainStep(step, *explanation.add_steps());
        else
            explanation.set_more(explanation.more() + 1);
    }
    return explanation;
}

} // namespace penstock::gui
