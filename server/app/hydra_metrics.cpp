// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/hydra_metrics.h"

#include "server/app/scheduling_metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace penstock::app {
namespace {

using Families = std::vector<http::MetricFamily>;
using http::MetricType;

double millis(Duration duration)
{
    return static_cast<double>(duration.count()) / 1e3;
}

double secondsOf(WallTime at)
{
    return static_cast<double>(at.micros()) / 1e6;
}

struct Writer {
    Families& families;

    void add(const char* name, const char* help, MetricType type, double value)
    {
        families.push_back({fmt::format("hydraqueuerunner_{}", name), help, type, {{{}, value}}});
    }
    template <class T> void count(const char* name, const char* help, T value)
    {
        add(name, help, MetricType::Counter, static_cast<double>(value));
    }
    template <class T> void measure(const char* name, const char* help, T value)
    {
        add(name, help, MetricType::Gauge, static_cast<double>(value));
    }
};

void addTimes(const http::HydraTimes& times, Writer& out)
{
    const double attempts = times.attempts == 0 ? 1 : static_cast<double>(times.attempts);
    out.measure("steps_avg_total_time_ms", "mean time of an attempt", millis(times.total) / attempts);
    out.measure("steps_avg_import_time_ms", "mean time until it is built", millis(times.import) / attempts);
    out.measure("steps_avg_build_time_ms", "mean time of building", millis(times.build) / attempts);
    out.measure("steps_avg_upload_time_ms", "mean time of sending outputs", millis(times.upload) / attempts);
    out.count("steps_total_time_ms", "time of all attempts that ended", millis(times.total));
    out.count("steps_total_import_time_ms", "of that, until they were built", millis(times.import));
    out.count("steps_total_build_time_ms", "of that, building", millis(times.build));
    out.count("steps_total_upload_time_ms", "of that, sending outputs", millis(times.upload));
}

void addSteps(const http::HydraFarm& farm, Writer& out)
{
    out.count("steps_started", "attempts given to machines", farm.stepsStarted);
    out.count("steps_finished", "attempts that ran to an end", farm.stepsDone);
    out.measure("steps_building", "steps on a machine", farm.stepsRunning);
    out.measure("steps_waiting", "steps that wait for a machine only", farm.stepsReady);
    out.measure("steps_runnable", "steps that wait for a machine, or for a retry's time",
                farm.stepsReady + farm.stepsDelayed);
    out.measure("steps_unfinished", "steps that are not finished",
                farm.stepsBlocked + farm.stepsReady + farm.stepsDelayed + farm.stepsRunning);
    out.measure("steps_unsupported", "steps that no machine can run", farm.stepsUnsupported);
    out.count("steps_unsupported_aborted", "steps that ended as no machine could run them", farm.unsupportedEnded);
    out.count("steps_retries", "attempts after the first", farm.retries);
    out.count("aborted_jobs_total", "attempts that were cancelled", farm.stepsCancelled);
    out.measure("steps_max_retries", "most attempts of one step after its first", farm.mostRetries);
    addTimes(farm.times, out);
}

void addQueues(const http::HydraFarm& farm, Families& families)
{
    const auto family = [&](const char* name, const char* help, auto valueOf) {
        http::MetricFamily each{fmt::format("hydraqueuerunner_machine_type_{}", name), help, MetricType::Gauge, {}};
        for (const auto& [system, queue] : farm.queues)
            each.samples.push_back({{{"machine_type", system}}, valueOf(queue)});
        families.push_back(std::move(each));
    };
    using Queue = http::HydraQueue;
    family("runnable", "steps of the system that are runnable or run",
           [](const Queue& queue) { return static_cast<double>(queue.ready + queue.delayed + queue.running); });
    family("running", "steps of the system on a machine",
           [](const Queue& queue) { return static_cast<double>(queue.running); });
    family("waiting", "steps of the system that wait for a machine only",
           [](const Queue& queue) { return static_cast<double>(queue.ready); });
    family("disabled", "steps of the system that wait for a retry's time",
           [](const Queue& queue) { return static_cast<double>(queue.delayed); });
    family("wait_time", "how long the oldest ready step of the system has waited, ms",
           [](const Queue& queue) { return millis(queue.oldestWait); });
}

void addShares(const core::FarmCore& farm, Now now, Families& families)
{
    http::MetricFamily used{"hydraqueuerunner_jobset_share_used",
                            "machine time of the jobset in the window, by its shares, seconds", MetricType::Gauge, {}};
    http::MetricFamily seconds{"hydraqueuerunner_jobset_seconds", "machine time of the jobset in the window",
                               MetricType::Gauge, {}};
    for (const core::ShareView& share : farm.shares(now)) {
        if (used.samples.size() == kShareSeries)
            break;
        const double time = static_cast<double>(share.used.count()) / 1e6;
        used.samples.push_back({{{"jobset_name", share.group}}, share.shares == 0 ? 0 : time / share.shares});
        seconds.samples.push_back({{{"jobset_name", share.group}}, time});
    }
    families.push_back(std::move(used));
    families.push_back(std::move(seconds));
}

struct MachineColumn {
    const char* name;
    const char* help;
    double (*valueOf)(const http::HydraMachine&);
};
constexpr std::array<MachineColumn, 9> kMachineColumns{{
    {"current_jobs", "attempts on the machine",
     [](const http::HydraMachine& machine) { return static_cast<double>(machine.jobs.size()); }},
    {"steps_done", "attempts that ended on it",
     [](const http::HydraMachine& machine) { return static_cast<double>(machine.finished); }},
    {"total_step_time_ms", "their time", [](const http::HydraMachine& machine) { return millis(machine.times.total); }},
    {"total_step_import_time_ms", "of that, until they were built",
     [](const http::HydraMachine& machine) { return millis(machine.times.import); }},
    {"total_step_build_time_ms", "of that, building",
     [](const http::HydraMachine& machine) { return millis(machine.times.build); }},
    {"total_step_upload_time_ms", "of that, sending outputs",
     [](const http::HydraMachine& machine) { return millis(machine.times.upload); }},
    {"consecutive_failures", "failures in a row, of different steps",
     [](const http::HydraMachine& machine) { return static_cast<double>(machine.failuresInRow); }},
    {"last_ping_timestamp", "when it was heard of last",
     [](const http::HydraMachine& machine) { return machine.lastSeen ? secondsOf(*machine.lastSeen) : 0.0; }},
    {"idle_since_timestamp", "since when it runs nothing; 0: it does",
     [](const http::HydraMachine& machine) { return machine.idleSince ? secondsOf(*machine.idleSince) : 0.0; }},
}};

void addMachines(const core::FarmCore& farm, Now now, Families& families)
{
    std::vector<http::MetricFamily> columns;
    for (const MachineColumn& column : kMachineColumns)
        columns.push_back(
            {fmt::format("hydraqueuerunner_machine_{}", column.name), column.help, MetricType::Gauge, {}});
    MachineKeys keys;
    std::size_t shown = 0;
    std::size_t inUse = 0;
    std::size_t fetching = 0;
    std::size_t sending = 0;
    for (const MachineId id : farm.machines()) {
        auto machine = shown == kMachineSeries ? std::nullopt : farm.machine(id);
        const auto view = machine ? hydraMachine(*std::move(machine), now) : std::nullopt;
        if (!view)
            continue;
        ++shown;
        inUse += view->jobs.empty() ? 0U : 1U;
        fetching += view->fetching;
        sending += view->uploading;
        const std::string key = keys.keyOf(view->name, id);
        for (std::size_t at = 0; at < columns.size(); ++at)
            columns[at].samples.push_back({{{"hostname", key}}, kMachineColumns[at].valueOf(*view)});
    }
    for (http::MetricFamily& column : columns)
        families.push_back(std::move(column));
    Writer out{families};
    out.measure("machines_in_use", "machines that run something, of the first thousand", inUse);
    out.measure("steps_copying_to", "attempts that fetch their inputs, there", fetching);
    out.measure("steps_copying_from", "attempts that send their outputs, there", sending);
}

void appendIntake(const http::HydraCounters& counters, Families& families)
{
    Writer out{families};
    out.count("queue_checks_started_total", "comparisons of the queue begun", counters.passesStarted);
    out.count("queue_checks_finished_total", "comparisons of the queue brought to an end", counters.passesFinished);
    out.count("queue_checks_early_exits_total", "comparisons of the queue begun anew before their end",
              counters.passesCutShort);
    out.count("queue_build_loads_total", "builds handed to the farm", counters.buildsLoaded);
    out.count("queue_steps_created_total", "steps handed to the farm", counters.stepsLoaded);
    out.count("monitor_checks", "wake-ups of the queue's watch", counters.wakeups);
    out.count("monitor_time_spent_running_total", "microseconds of loading", counters.busyTime.count());
    out.count("monitor_time_spent_waiting_total", "microseconds without anything to load", counters.idleTime.count());
    out.count("builds_read", "rows of builds read", counters.buildsRead);
    out.count("builds_read_time_ms", "time of reading and loading them", millis(counters.readTime));
    out.count("substitutes_started", "outputs asked of substituters", counters.substitutesStarted);
    out.count("substitutes_failed", "of these, not got", counters.substitutesFailed);
    out.count("substitutes_succeeded", "of these, got", counters.substitutesSucceeded);

    const auto measure = [&families](const char* name, const char* help, double value) {
        families.push_back(http::gauge(fmt::format("penstock_hydra_{}", name), help, value));
    };
    const auto count = [&families](const char* name, const char* help, std::uint64_t value) {
        families.push_back(
            http::counter(fmt::format("penstock_hydra_{}_total", name), help, static_cast<double>(value)));
    };
    measure("builds_waiting", "builds found and not handed to the farm yet",
            static_cast<double>(counters.buildsWaiting));
    measure("connections", "most connections to the database that the whole server has open, of which some open at need",
            static_cast<double>(counters.connections));
    measure("last_diff_seconds", "time that finding what has changed in the queue took, the last time",
            static_cast<double>(counters.lastDiff.count()) / 1e6);
    measure("healthy", "1 while the last exchange with the database went well", counters.lastError.empty() ? 1 : 0);
    count("cached_successes", "builds that were there already", counters.cachedSuccesses);
    count("cached_failures", "builds that had failed before", counters.cachedFailures);
    count("aborted_builds", "builds whose derivation was gone", counters.aborted);
}

} // namespace

void appendHydraMetrics(const core::FarmCore& farm, const dispatch::DispatchCounters& dispatch, Now now,
                        const std::optional<http::HydraCounters>& counters, Families& families)
{
    http::HydraFarm view = hydraFarm(farm, dispatch, now);
    addHydraCounters(view, counters.value_or(http::HydraCounters()), counters.has_value());
    Writer out{families};
    out.count("builds_finished", "builds that ended", view.buildsDone);
    out.count("builds_succeeded", "of these, well", view.buildsSucceeded);
    out.count("builds_failed", "of these, otherwise", view.buildsFailed);
    if (counters)
        appendIntake(*counters, families);
    addSteps(view, out);
    out.measure("builds_unfinished", "builds that are not finished, those included that are not handed to the farm yet",
                view.buildsUnfinished);
    out.measure("machines_total", "machines that are connected", view.machines);
    addQueues(view, families);
    addShares(farm, now, families);
    families.push_back(http::gauge("penstock_hydra_projection_lag_batches",
                                   "batches whose rows, ours and Hydra's, are not written yet",
                                   static_cast<double>(farm.totals().unconfirmedBatches)));
    addMachines(farm, now, families);
}

void appendHydraTurns(const dispatch::DispatchCounters& dispatch, Duration running, Families& families)
{
    Writer out{families};
    const Duration busy{static_cast<std::int64_t>(dispatch.busyMicros)};
    out.count("dispatcher_time_spent_running_total", "time of the core's turns, microseconds", busy.count());
    out.count("dispatcher_time_spent_waiting_total", "time between the core's turns, microseconds",
              std::max(running - busy, Duration(0)).count());
    out.count("dispatch_wakeup", "turns of the core", dispatch.batches);
    out.count("dispatch_time_ms", "time of the core's turns", millis(busy));
}

void appendHydraCopies(const HydraCopies& copies, Families& families)
{
    Writer out{families};
    out.measure("s3_uploads_pending", "publications that wait for a further store", copies.waiting);
    out.count("overflow_copies_queued_total", "copies to further stores that were to be made",
              copies.finished + copies.waiting);
    out.count("overflow_copies_succeeded_total", "copies to further stores that were made", copies.finished);
    out.count("overflow_copies_failed_total", "tries to copy to a further store that failed; each is made again",
              copies.failures);
}

void appendHydraClock(Now now, Duration running, Families& families)
{
    Writer out{families};
    out.measure("current_time_seconds", "the server's clock", secondsOf(now.wall));
    out.measure("uptime_seconds", "since the server started", static_cast<double>(running.count()) / 1e6);
}

} // namespace penstock::app
