// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/scheduling_metrics.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace penstock::app {
namespace {

using Families = std::vector<http::MetricFamily>;

std::size_t seriesOf(const Families& families, std::string_view name)
{
    const auto found = std::ranges::find(families, name, &http::MetricFamily::name);
    return found == families.end() ? 0 : found->samples.size();
}

void expectLine(const Families& families, const std::string& line)
{
    const auto text = http::renderMetrics(families);
    EXPECT_NE(text.find(line + "\n"), std::string::npos) << line << "\n" << text;
}

TEST(SchedulingMetrics, HaveASeriesForEveryReasonAlsoWhenNothingWaits)
{
    Families families;
    core::Totals totals;
    totals.waiting = {{"slots-full", 12}, {"of-a-newer-core", 1}};
    totals.pause.paused = true;
    totals.machinesQuarantined = 2;
    appendWaitingMetrics(totals, families);
    expectLine(families, R"(penstock_steps_waiting{reason="slots-full"} 12)");
    expectLine(families, R"(penstock_steps_waiting{reason="held"} 0)");
    expectLine(families, R"(penstock_steps_waiting{reason="of-a-newer-core"} 1)");
    expectLine(families, "penstock_dispatch_paused 1");
    expectLine(families, "penstock_machines_quarantined 2");
    EXPECT_EQ(seriesOf(families, "penstock_steps_waiting"), 37U);
}

core::ShareView share(std::string group, int seconds)
{
    core::ShareView view;
    view.group = std::move(group);
    view.used = std::chrono::seconds(seconds);
    view.usedPercent = 25;
    view.targetPercent = 50;
    view.running = 1;
    view.queued = 3;
    return view;
}

TEST(SchedulingMetrics, ShowSharesAsRatios)
{
    Families families;
    appendShareMetrics({share("a", 90)}, families);
    expectLine(families, R"(penstock_share_used_seconds{group="a"} 90)");
    expectLine(families, R"(penstock_share_used_ratio{group="a"} 0.25)");
    expectLine(families, R"(penstock_share_target_ratio{group="a"} 0.5)");
    expectLine(families, R"(penstock_share_steps{group="a",state="queued"} 3)");
}

TEST(SchedulingMetrics, SumUpTheShareGroupsThatUseLeast)
{
    std::vector<core::ShareView> shares;
    for (std::size_t at = 0; at < kShareSeries + 2; ++at)
        shares.push_back(share(fmt::format("g{:04}", at), static_cast<int>(at)));
    Families families;
    appendShareMetrics(shares, families);
    EXPECT_EQ(seriesOf(families, "penstock_share_used_seconds"), kShareSeries + 1);
    expectLine(families, R"(penstock_share_used_seconds{group="g0201"} 201)");
    expectLine(families, R"x(penstock_share_used_seconds{group="(others)"} 1)x"); // g0000 and g0001
    expectLine(families, R"x(penstock_share_steps{group="(others)",state="running"} 2)x");
    shares.resize(kShareSeries);
    families.clear();
    appendShareMetrics(shares, families);
    EXPECT_EQ(seriesOf(families, "penstock_share_used_seconds"), kShareSeries);
}

TEST(SchedulingMetrics, SayWhyAMachineIsClosed)
{
    core::MachineView machine;
    machine.id = MachineId(7);
    machine.facts.name = "b\"1";
    machine.facts.maxJobs = 2;
    machine.condition = core::MachineCondition::Ready;
    machine.capacity = {8, 1024, {}};
    machine.reserved = {3, 512, {}};
    machine.health.state = work::HealthState::Parole;
    const auto expectOpen = [&](std::string_view reason, int value) {
        Families families;
        appendMachineMetrics({machine}, 5, families);
        expectLine(families, fmt::format(R"(penstock_machine_open{{machine="b\"1",id="7",reason="{}"}} {})", reason,
                                         value));
    };
    machine.closedCode = "machine-reserved";
    expectOpen("machine-reserved", 0);
    machine.closedCode = "gated-io";
    expectOpen("gated-io", 0);
    machine.hasRoom = true;
    expectOpen("", 1);
    Families families;
    appendMachineMetrics({machine}, 5, families);
    expectLine(families, R"(penstock_machine_health{machine="b\"1",id="7",state="parole"} 1)");
    expectLine(families, R"(penstock_machine_reserved_cpus{machine="b\"1",id="7"} 3)");
    expectLine(families, R"(penstock_machine_memory_bytes{machine="b\"1",id="7"} 1024)");
    expectLine(families, "penstock_machines_without_series 4");
}

TEST(SchedulingMetrics, CountDecisions)
{
    core::Counters counters;
    counters.quarantines = 1;
    counters.probes = 2;
    counters.reservations = 3;
    counters.promotions = 4;
    Families families;
    appendDecisionMetrics(counters, families);
    expectLine(families, "penstock_quarantines_total 1");
    expectLine(families, "penstock_probes_total 2");
    expectLine(families, "penstock_reservations_total 3");
    expectLine(families, "penstock_promotions_total 4");
}

} // namespace
} // namespace penstock::app
