// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/feed_records.h"

#include <algorithm>
#include <utility>

namespace penstock::app {
namespace {

template <class T> bool mostFirst(const T& left, const T& right)
{
    return left.steps > right.steps;
}

std::vector<feed::NamedAmount> namedOf(const work::Resources& capacity, const work::Resources& reserved)
{
    std::vector<feed::NamedAmount> amounts;
    for (const auto& [name, amount] : capacity.named) {
        const auto used = reserved.named.find(name);
        amounts.push_back({name, used == reserved.named.end() ? 0 : used->second, amount});
    }
    return amounts;
}

feed::StepReasons toEntry(core::StepExplanation&& step)
{
    feed::StepReasons entry{step.step, std::move(step.name), step.state};
    for (core::Reason& reason : step.reasons)
        entry.reasons.push_back({std::move(reason.code),
                                 std::move(reason.text),
                                 {reason.numbers.begin(), reason.numbers.end()},
                                 std::move(reason.remedy),
                                 std::move(reason.names)});
    for (core::FunnelStage& stage : step.funnel) {
        feed::FunnelEntry& added =
            entry.funnel.emplace_back(feed::FunnelEntry{std::move(stage.stage), stage.left, stage.removedCount});
        for (core::Removed& removed : stage.removed)
            added.removed.push_back({std::move(removed.machine), std::move(removed.why)});
    }
    entry.change = std::move(step.change);
    entry.earliest = step.earliest;
    entry.latest = step.latest;
    return entry;
}

} // namespace

feed::HealthEntry healthOf(const work::MachineHealth& health)
{
    return {health.state, health.failuresInRow, health.quarantines, health.until, health.reason};
}

std::optional<feed::RoomEntry> roomOf(const core::MachineView& machine)
{
    if (!machine.hasRoom && machine.closed.empty())
        return std::nullopt;
    feed::RoomEntry room;
    room.open = machine.hasRoom;
    room.closed = machine.closed;
    room.score = machine.score;
    room.cpus = machine.reserved.cpus;
    room.cpusCapacity = machine.capacity.cpus;
    room.memoryBytes = machine.reserved.memoryBytes;
    room.memoryCapacityBytes = machine.capacity.memoryBytes;
    room.named = namedOf(machine.capacity, machine.reserved);
    room.foreignCpus = machine.foreignCpus;
    for (const sched::OverThreshold& over : machine.over)
        room.crossed.push_back({std::string(sched::toString(over.kind)), over.value, over.limit});
    return room;
}

feed::ThresholdsEntry thresholdsOf(const core::MachineView& machine)
{
    const work::ThresholdOverrides& set = machine.overrides;
    // All zero and nothing overridden: the core has not merged them, so the builder's own are in force.
    const bool merged = machine.thresholds != protocol::Thresholds{} || set != work::ThresholdOverrides{};
    const protocol::Thresholds& limits = merged ? machine.thresholds : machine.facts.thresholds;
    feed::ThresholdsEntry entry{limits.cpuPsi,           limits.memoryPsi,          limits.ioPsi,        limits.load1,
                                limits.minFreeDiskBytes, limits.minFreeMemoryBytes, limits.minFreeInodes};
    const auto note = [&entry](bool isSet, const char* name) {
        if (isSet)
            entry.overridden.emplace_back(name);
    };
    note(set.cpuPsi.has_value(), "cpu_psi");
    note(set.memoryPsi.has_value(), "mem_psi");
    note(set.ioPsi.has_value(), "io_psi");
    note(set.load1.has_value(), "load1");
    note(set.minFreeDiskBytes.has_value(), "disk");
    note(set.minFreeMemoryBytes.has_value(), "memory");
    note(set.minFreeInodes.has_value(), "inodes");
    return entry;
}

std::vector<feed::ReasonCount> waitingOf(const core::Totals& totals)
{
    std::vector<feed::ReasonCount> waiting;
    for (const auto& [code, steps] : totals.waiting)
        if (steps > 0)
            waiting.push_back({code, steps});
    std::stable_sort(waiting.begin(), waiting.end(), mostFirst<feed::ReasonCount>);
    if (waiting.size() > feed::kShownReasons)
        waiting.resize(feed::kShownReasons);
    return waiting;
}

std::optional<feed::PauseEntry> pauseOf(const work::DispatchPause& pause)
{
    if (!pause.paused)
        return std::nullopt;
    return feed::PauseEntry{pause.who, pause.note, pause.since};
}

std::vector<feed::GroupCount> groupsOf(const std::map<std::string, std::uint64_t>& queued)
{
    std::vector<feed::GroupCount> groups;
    for (const auto& [group, steps] : queued)
        groups.push_back({group, steps});
    std::stable_sort(groups.begin(), groups.end(), mostFirst<feed::GroupCount>);
    return groups;
}

std::vector<feed::ShareEntry> shareEntries(const core::FarmCore& farm, Now now)
{
    std::vector<feed::ShareEntry> entries;
    for (core::ShareView& share : farm.shares(now))
        entries.push_back({std::move(share.group), share.shares, share.used, share.usedPercent, share.targetPercent,
                           share.running, share.queued});
    if (entries.size() <= feed::kShownShares)
        return entries;
    std::stable_sort(entries.begin(), entries.end(), [](const feed::ShareEntry& left, const feed::ShareEntry& right) {
        return left.running + left.queued > right.running + right.queued;
    });
    entries.resize(feed::kShownShares);
    return entries;
}

Result<feed::JobReasons> reasonsOf(const core::FarmCore& farm, const feed::ExplainQuestion& question, Now now)
{
    PENSTOCK_TRY(core::Explanation explanation, question.step
                                                    ? farm.explainStep(question.job, *question.step, now)
                                                    : farm.explain(question.job, question.limit, now));
    feed::JobReasons reasons{question.job, explanation.state, explanation.evaluated};
    // A core that does not say when means now.
    if (reasons.evaluated.micros() == 0)
        reasons.evaluated = now.wall;
    reasons.more = explanation.more;
    for (core::StepExplanation& step : explanation.steps)
        reasons.steps.push_back(toEntry(std::move(step)));
    return reasons;
}

} // namespace penstock::app
