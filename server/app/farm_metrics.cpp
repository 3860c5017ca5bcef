// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/farm_records.h"
#include "server/app/scheduling_metrics.h"

#include <cstdint>
#include <string>

namespace penstock::app {
namespace {

using Families = std::vector<http::MetricFamily>;

void count(Families& families, const char* name, const char* help, std::uint64_t value)
{
    families.push_back(http::counter(name, help, static_cast<double>(value)));
}

void measure(Families& families, const char* name, const char* help, std::uint64_t value)
{
    families.push_back(http::gauge(name, help, static_cast<double>(value)));
}

http::MetricFamily labelled(const char* name, const char* help, const char* label, http::MetricType type,
                            std::vector<std::pair<std::string, std::uint64_t>> values)
{
    http::MetricFamily family{name, help, type, {}};
    for (auto& [word, value] : values)
        family.samples.push_back({{{label, std::move(word)}}, static_cast<double>(value)});
    return family;
}

void addQueues(const core::FarmCore& farm, Families& families)
{
    http::MetricFamily queued{"penstock_queue_steps", "steps per system and features", http::MetricType::Gauge, {}};
    http::MetricFamily able{"penstock_queue_machines", "connected machines able to run them", http::MetricType::Gauge,
                            {}};
    for (const core::QueueView& queue : farm.queues()) {
        const std::pair<std::string, std::string> key{"queue", queue.key};
        queued.samples.push_back({{key, {"state", "ready"}}, static_cast<double>(queue.queued)});
        queued.samples.push_back({{key, {"state", "delayed"}}, static_cast<double>(queue.delayed)});
        queued.samples.push_back({{key, {"state", "blocked"}}, static_cast<double>(queue.blocked)});
        queued.samples.push_back({{key, {"state", "running"}}, static_cast<double>(queue.running)});
        able.samples.push_back({{key}, static_cast<double>(queue.eligibleMachines)});
    }
    families.push_back(std::move(queued));
    families.push_back(std::move(able));
}

void addMachines(const core::FarmCore& farm, Families& families)
{
    std::vector<core::MachineView> shown;
    const std::vector<MachineId> machines = farm.machines();
    for (const MachineId id : machines) {
        if (shown.size() == kMachineSeries)
            break;
        if (auto machine = farm.machine(id); machine)
            shown.push_back(*std::move(machine));
    }
    appendMachineMetrics(shown, machines.size(), families);
}

void addTotals(const core::Totals& totals, Families& families)
{
    families.push_back(labelled("penstock_steps", "unfinished steps by state", "state", http::MetricType::Gauge,
                                {{"blocked", totals.stepsBlocked},
                                 {"ready", totals.stepsReady},
                                 {"delayed", totals.stepsDelayed},
                                 {"running", totals.stepsRunning}}));
    measure(families, "penstock_jobs_open", "jobs that are not finished", totals.jobsOpen);
    families.push_back(labelled("penstock_machines", "machines by condition", "condition", http::MetricType::Gauge,
                                {{"connected", totals.machinesConnected},
                                 {"draining", totals.machinesDraining},
                                 {"disconnected", totals.machinesTotal - totals.machinesConnected}}));
    measure(families, "penstock_slots", "slots of connected machines", totals.slotsTotal);
    measure(families, "penstock_slots_used", "slots in use", totals.slotsUsed);
    measure(families, "penstock_database_ok", "1 while the database answers", totals.databaseOk ? 1 : 0);
    measure(families, "penstock_unconfirmed_batches", "batches handed to the database and not durable yet",
            totals.unconfirmedBatches);
}

} // namespace

Families farmMetrics(const core::FarmCore& farm, Now now)
{
    Families families;
    const core::Totals totals = farm.totals();
    addTotals(totals, families);
    appendWaitingMetrics(totals, families);
    addQueues(farm, families);
    appendShareMetrics(farm.shares(now), families);
    addMachines(farm, families);
    const core::Counters& counters = farm.counters();
    appendDecisionMetrics(counters, families);
    count(families, "penstock_jobs_submitted_total", "jobs taken in", counters.jobsSubmitted);
    count(families, "penstock_jobs_finished_total", "jobs finished", counters.jobsFinished);
    count(families, "penstock_steps_finished_total", "steps finished", counters.stepsFinished);
    count(families, "penstock_steps_there_already_total", "steps whose outputs were there when they came in",
          counters.stepsThereAlready);
    count(families, "penstock_attempts_started_total", "attempts handed to machines", counters.attemptsStarted);
    families.push_back(labelled("penstock_attempts_ended_total", "attempts ended, by how", "end",
                                http::MetricType::Counter,
                                {{"ok", counters.finishedOk},
                                 {"failed", counters.finishedFailed},
                                 {"cancelled", counters.finishedCancelled},
                                 {"rejected", counters.rejected},
                                 {"lost", counters.lost}}));
    count(families, "penstock_retries_total", "steps tried again", counters.retries);
    count(families, "penstock_fenced_messages_total", "messages about attempts that were over", counters.fenced);
    count(families, "penstock_refused_messages_total", "messages about other machines' attempts", counters.refused);
    count(families, "penstock_adopted_attempts_total", "attempts that went on over a break", counters.adopted);
    count(families, "penstock_connections_refused_total", "builders turned away by identity",
          counters.connectionsRefused);
    count(families, "penstock_plan_visits_total", "nodes the planner looked at", counters.planVisits);
    count(families, "penstock_plans_cut_short_total", "planning passes that used up their visits",
          counters.plansCutShort);
    return families;
}

void appendDispatchMetrics(const dispatch::Dispatcher& dispatcher, Families& families)
{
    const dispatch::DispatchCounters& counters = dispatcher.counters();
    count(families, "penstock_core_events_total", "events applied", counters.events);
    count(families, "penstock_core_batches_total", "batches applied", counters.batches);
    count(families, "penstock_core_persisted_total", "batches made durable", counters.persisted);
    measure(families, "penstock_core_slowest_turn_microseconds", "longest batch so far", counters.slowestTurnMicros);
    measure(families, "penstock_outbox_held", "commands waiting for the database", dispatcher.held());
}

} // namespace penstock::app
