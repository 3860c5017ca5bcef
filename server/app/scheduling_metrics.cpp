// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/scheduling_metrics.h"

#include "server/app/http_views.h"
#include "server/core/explain.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

namespace penstock::app {
namespace {

using Families = std::vector<http::MetricFamily>;
using Labels = std::vector<std::pair<std::string, std::string>>;

http::MetricFamily gauges(std::string name, std::string help)
{
    return {std::move(name), std::move(help), http::MetricType::Gauge, {}};
}

void add(http::MetricFamily& family, Labels labels, double value)
{
    family.samples.push_back({std::move(labels), value});
}

std::string wordOf(work::HealthState state)
{
    switch (state) {
    case work::HealthState::Healthy: return "healthy";
    case work::HealthState::Quarantined: return "quarantined";
    case work::HealthState::Probing: return "probing";
    case work::HealthState::Parole: return "parole";
    }
    return "healthy";
}

double seconds(Duration duration)
{
    return static_cast<double>(duration.count()) / 1e6;
}

// The groups that use most, by name, and the sum of the others at the end.
void foldOthers(std::vector<core::ShareView>& shares)
{
    if (shares.size() <= kShareSeries)
        return;
    std::ranges::stable_sort(shares, std::greater(), &core::ShareView::used);
    core::ShareView others;
    others.group = "(others)"; // no name of a group has brackets
    for (auto at = shares.begin() + kShareSeries; at != shares.end(); ++at) {
        others.used += at->used;
        others.usedPercent += at->usedPercent;
        others.targetPercent += at->targetPercent;
        others.running += at->running;
        others.queued += at->queued;
    }
    shares.erase(shares.begin() + kShareSeries, shares.end());
    std::ranges::sort(shares, {}, &core::ShareView::group);
    shares.push_back(std::move(others));
}

} // namespace

void appendWaitingMetrics(const core::Totals& totals, Families& families)
{
    http::MetricFamily waiting =
        gauges("penstock_steps_waiting", "unfinished steps that do not run, by their binding reason");
    std::map<std::string, std::uint64_t> all = totals.waiting;
    // A series each, also when nothing waits for it, so that an alarm can be made before the day it is needed.
    for (const std::string_view code : core::kWaitingCodes)
        all.try_emplace(std::string(code), 0);
    for (const auto& [code, steps] : all)
        add(waiting, {{"reason", code}}, static_cast<double>(steps));
    families.push_back(std::move(waiting));
    families.push_back(http::gauge("penstock_dispatch_paused", "1 while an operator lets nothing new start",
                                   totals.pause.paused ? 1 : 0));
    families.push_back(http::gauge("penstock_machines_quarantined", "machines that get no work for their own failures",
                                   static_cast<double>(totals.machinesQuarantined)));
}

void appendShareMetrics(std::vector<core::ShareView> shares, Families& families)
{
    foldOthers(shares);
    http::MetricFamily used = gauges("penstock_share_used_seconds", "machine time in the window that counts");
    http::MetricFamily part = gauges("penstock_share_used_ratio", "of the use of all groups");
    http::MetricFamily target = gauges("penstock_share_target_ratio", "its shares, of the groups that have work");
    http::MetricFamily steps = gauges("penstock_share_steps", "steps of the group");
    for (const core::ShareView& share : shares) {
        const std::pair<std::string, std::string> group{"group", share.group};
        add(used, {group}, seconds(share.used));
        add(part, {group}, share.usedPercent / 100);
        add(target, {group}, share.targetPercent / 100);
        add(steps, {group, {"state", "running"}}, static_cast<double>(share.running));
        add(steps, {group, {"state", "queued"}}, static_cast<double>(share.queued));
    }
    for (http::MetricFamily* family : {&used, &part, &target, &steps})
        families.push_back(std::move(*family));
}

void appendMachineMetrics(const std::vector<core::MachineView>& machines, std::size_t known, Families& families)
{
    http::MetricFamily open = gauges("penstock_machine_open", "1 while it would take another small step, and why not");
    http::MetricFamily health = gauges("penstock_machine_health", "1 for the state that it is in");
    http::MetricFamily slots = gauges("penstock_machine_slots", "slots it offers");
    http::MetricFamily used = gauges("penstock_machine_slots_used", "slots in use");
    http::MetricFamily cpus = gauges("penstock_machine_cpus", "cpus that may be reserved");
    http::MetricFamily reserved = gauges("penstock_machine_reserved_cpus", "cpus reserved by what runs");
    http::MetricFamily memory = gauges("penstock_machine_memory_bytes", "memory that may be reserved");
    http::MetricFamily taken = gauges("penstock_machine_reserved_memory_bytes", "memory reserved by what runs");
    for (const core::MachineView& machine : machines) {
        // Names are not unique, ids are.
        const Labels labels{{"machine", machine.facts.name}, {"id", std::to_string(machine.id.value())}};
        const auto with = [&labels](std::string_view name, std::string value) {
            Labels more = labels;
            more.emplace_back(name, std::move(value));
            return more;
        };
        const auto closed = closedOf(machine);
        add(open, with("reason", closed ? closed->code : std::string()), closed ? 0 : 1);
        add(health, with("state", wordOf(machine.health.state)), 1);
        add(slots, labels, machine.facts.maxJobs);
        add(used, labels, machine.used);
        add(cpus, labels, machine.capacity.cpus);
        add(reserved, labels, machine.reserved.cpus);
        add(memory, labels, static_cast<double>(machine.capacity.memoryBytes));
        add(taken, labels, static_cast<double>(machine.reserved.memoryBytes));
    }
    for (http::MetricFamily* family : {&open, &health, &slots, &used, &cpus, &reserved, &memory, &taken})
        families.push_back(std::move(*family));
    families.push_back(http::gauge("penstock_machines_without_series", "machines beyond those shown one by one",
                                   static_cast<double>(known - machines.size())));
}

void appendDecisionMetrics(const core::Counters& counters, Families& families)
{
    const auto count = [&](const char* name, const char* help, std::uint64_t value) {
        families.push_back(http::counter(name, help, static_cast<double>(value)));
    };
    count("penstock_quarantines_total", "machines put into quarantine", counters.quarantines);
    count("penstock_probes_total", "steps that tested a machine after its quarantine", counters.probes);
    count("penstock_reservations_total", "machines kept free for a step that needs much", counters.reservations);
    count("penstock_promotions_total", "steps moved up because they had waited long", counters.promotions);
}

} // namespace penstock::app
