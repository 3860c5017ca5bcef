// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/http_views.h"

#include "server/app/farm_records.h"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

namespace penstock::app {
namespace {

http::StepExplanation toView(core::StepExplanation&& step)
{
    http::StepExplanation view;
    view.step = step.step;
    view.name = std::move(step.name);
    view.state = step.state;
    for (core::Reason& reason : step.reasons)
        view.reasons.push_back({std::move(reason.code), std::move(reason.text), std::move(reason.numbers),
                                std::move(reason.remedy), std::move(reason.names)});
    for (core::FunnelStage& stage : step.funnel) {
        http::FunnelStage entry{std::move(stage.stage), stage.left, stage.removedCount, {}};
        for (core::Removed& removed : stage.removed)
            entry.removed.push_back({std::move(removed.machine), std::move(removed.why)});
        view.funnel.push_back(std::move(entry));
    }
    view.change = std::move(step.change);
    view.earliest = step.earliest;
    view.latest = step.latest;
    return view;
}

http::ShareView toView(core::ShareView&& share)
{
    return {std::move(share.group), share.shares,  share.used,  share.usedPercent,
            share.targetPercent,    share.running, share.queued};
}

http::NamespaceView toView(core::NamespaceView&& nameSpace)
{
    return {std::move(nameSpace.limits), nameSpace.openJobs, nameSpace.runningSteps, nameSpace.runningCpus};
}

http::MachineView toView(core::MachineView&& machine)
{
    http::MachineView view;
    view.thresholds = machine.thresholds;
    view.overrides = machine.overrides;
    for (const sched::OverThreshold& over : machine.over)
        view.over.push_back(sched::describe(over));
    view.health = machine.health;
    view.capacity = machine.capacity;
    view.reserved = machine.reserved;
    view.foreignCpus = machine.foreignCpus;
    view.closed = closedOf(machine);
    view.score = machine.score;
    view.entry = machineEntry(std::move(machine));
    return view;
}

} // namespace

Result<http::JobExplanation> explanationOf(const core::FarmCore& farm, JobId job, std::size_t limit, Now now)
{
    PENSTOCK_TRY(core::Explanation explanation, farm.explain(job, limit, now));
    http::JobExplanation view{explanation.job, explanation.state, explanation.evaluated, {}, explanation.more, {}};
    for (core::StepExplanation& step : explanation.steps)
        view.steps.push_back(toView(std::move(step)));
    return view;
}

std::vector<http::MachineView> machineViews(const core::FarmCore& farm)
{
    std::vector<http::MachineView> views;
    for (const MachineId id : farm.machines())
        if (auto machine = farm.machine(id); machine)
            views.push_back(toView(*std::move(machine)));
    return views;
}

Result<http::MachineView> machineNamed(const core::FarmCore& farm, const std::string& nameOrId)
{
    PENSTOCK_TRY(const MachineId id, farm.findMachine(nameOrId));
    auto machine = farm.machine(id);
    if (!machine)
        return fail(ErrorCode::NotFound, fmt::format("no machine {}", nameOrId));
    return toView(*std::move(machine));
}

std::optional<http::Closed> closedOf(const core::MachineView& machine)
{
    if (machine.hasRoom)
        return std::nullopt;
    return http::Closed{machine.closedCode, machine.closed};
}

std::vector<http::QueueView> queueViews(const core::FarmCore& farm)
{
    std::vector<http::QueueView> views;
    for (core::QueueView& queue : farm.queues())
        views.push_back({std::move(queue.key), std::move(queue.system), std::move(queue.features), queue.queued,
                         queue.delayed, queue.running, queue.blocked, queue.oldestReady, queue.eligibleMachines,
                         queue.freeSlots, std::move(queue.queuedByGroup)});
    return views;
}

std::vector<http::ShareView> shareViews(const core::FarmCore& farm, Now now)
{
    std::vector<http::ShareView> views;
    for (core::ShareView& share : farm.shares(now))
        views.push_back(toView(std::move(share)));
    return views;
}

std::vector<http::NamespaceView> namespaceViews(const core::FarmCore& farm)
{
    std::vector<http::NamespaceView> views;
    for (core::NamespaceView& nameSpace : farm.namespaces())
        views.push_back(toView(std::move(nameSpace)));
    return views;
}

http::ShareView shareOf(const core::FarmCore& farm, const std::string& group, Now now)
{
    for (http::ShareView& share : shareViews(farm, now))
        if (share.group == group)
            return std::move(share);
    http::ShareView fresh;
    fresh.group = group;
    return fresh;
}

http::NamespaceView namespaceOf(const core::FarmCore& farm, const std::string& name)
{
    for (http::NamespaceView& nameSpace : namespaceViews(farm))
        if (nameSpace.limits.name == name)
            return std::move(nameSpace);
    http::NamespaceView fresh;
    fresh.limits.name = name;
    return fresh;
}

} // namespace penstock::app
