// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/http/render_hydra.h"

#include "shared/base/text.h"

#include <algorithm>
#include <fstream>
#include <unistd.h>

namespace penstock::http {
namespace {

std::int64_t millis(Duration duration)
{
    return duration.count() / 1'000;
}

double secondsOf(Duration duration)
{
    return static_cast<double>(duration.count()) / 1e6;
}

std::int64_t meanMillis(Duration sum, std::uint64_t count)
{
    return count == 0 ? 0 : millis(sum) / static_cast<std::int64_t>(count);
}

// Unix seconds, as Hydra's runner writes times of machines; 0 where there is none.
void writeSeconds(JsonWriter& out, std::string_view key, std::optional<WallTime> at)
{
    out.field(key, at ? at->micros() / 1'000'000 : 0);
}

void writeTimes(JsonWriter& out, const HydraTimes& times)
{
    out.field("avgStepTimeMs", meanMillis(times.total, times.attempts));
    out.field("avgStepImportTimeMs", meanMillis(times.import, times.attempts));
    out.field("avgStepBuildTimeMs", meanMillis(times.build, times.attempts));
    out.field("avgStepUploadTimeMs", meanMillis(times.upload, times.attempts));
    out.field("totalStepTimeMs", millis(times.total));
    out.field("totalStepImportTimeMs", millis(times.import));
    out.field("totalStepBuildTimeMs", millis(times.build));
    out.field("totalStepUploadTimeMs", millis(times.upload));
}

void writePressure(JsonWriter& out, std::string_view key, const HydraPressure& pressure)
{
    out.key(key);
    out.beginObject();
    out.field("avg10", pressure.avg10);
    out.field("avg60", pressure.avg60);
    out.field("avg300", pressure.avg300);
    out.field("total", pressure.total);
    out.endObject();
}

void writePressures(JsonWriter& out, const std::optional<HydraPressures>& pressure)
{
    if (!pressure)
        return out.fieldNull("pressure");
    out.key("pressure");
    out.beginObject();
    writePressure(out, "cpuSome", pressure->cpuSome);
    writePressure(out, "memSome", pressure->memSome);
    writePressure(out, "memFull", pressure->memFull);
    writePressure(out, "ioSome", pressure->ioSome);
    writePressure(out, "ioFull", pressure->ioFull);
    out.fieldNull("irqFull");
    out.endObject();
}

void writeStats(JsonWriter& out, const HydraMachine& machine)
{
    out.key("stats");
    out.beginObject();
    out.field("currentJobs", machine.jobs.size());
    out.field("nrStepsDone", machine.finished);
    writeTimes(out, machine.times);
    writeSeconds(out, "idleSince", machine.idleSince);
    writeSeconds(out, "lastFailure", machine.lastFailure);
    writeSeconds(out, "disabledUntil", machine.disabledUntil);
    out.field("consecutiveFailures", machine.failuresInRow);
    writeSeconds(out, "lastPing", machine.lastSeen);
    out.field("sinceLastPing", machine.sinceLastSeen.count() / 1'000'000);
    out.field("load1", machine.load1);
    out.field("load5", machine.load5);
    out.field("load15", machine.load15);
    out.field("memUsage", machine.memoryUsed);
    writePressures(out, machine.pressure);
    out.field("buildDirFreePercent", machine.buildDirFree);
    out.field("storeFreePercent", machine.storeFree);
    out.field("currentUploadingPathCount", machine.uploading);
    out.field("currentDownloadingPathCount", machine.fetching);
    out.field("jobsInLast30sStart", 0); // no burst is held back, so none is counted
    out.field("jobsInLast30sCount", 0);
    out.field("failedBuilds", machine.failed);
    out.field("succeededBuilds", machine.finished - machine.failed);
    out.endObject();
}

void writeSteps(JsonWriter& out, const HydraFarm& farm)
{
    out.field("nrStepsStarted", farm.stepsStarted);
    out.field("nrStepsDone", farm.stepsDone);
    out.field("nrStepsBuilding", farm.stepsRunning);
    out.field("nrStepsWaiting", farm.stepsReady);
    out.field("nrStepsRunnable", farm.stepsReady + farm.stepsDelayed);
    out.field("nrStepsUnfinished", farm.stepsBlocked + farm.stepsReady + farm.stepsDelayed + farm.stepsRunning);
    out.field("nrUnsupportedSteps", farm.stepsUnsupported);
    out.field("nrUnsupportedStepsAborted", farm.unsupportedEnded);
    out.field("nrSubstitutesStarted", farm.counters.substitutesStarted);
    out.field("nrSubstitutesFailed", farm.counters.substitutesFailed);
    out.field("nrSubstitutesSucceeded", farm.counters.substitutesSucceeded);
    out.field("nrRetries", farm.retries);
    out.field("maxNrRetries", farm.mostRetries);
}

void writeQueueStats(JsonWriter& out, const std::map<std::string, HydraQueue>& queues)
{
    out.key("queueStats");
    out.beginObject();
    for (const auto& [system, queue] : queues) {
        out.key(system);
        out.beginObject();
        out.field("activeRunnable", queue.running);
        out.field("totalRunnable", queue.running + queue.ready + queue.delayed);
        out.field("nrRunnableWaiting", queue.ready);
        out.field("nrRunnableDisabled", queue.delayed);
        out.field("avgRunnableTime", 0);
        out.field("waitTimeMs", millis(queue.oldestWait));
        out.endObject();
    }
    out.endObject();
}

void writeProcess(JsonWriter& out, const ProcessUse& use)
{
    out.key("proc");
    out.beginObject();
    out.field("pid", use.pid);
    out.field("vsizeBytes", use.virtualBytes);
    out.field("rssBytes", use.residentBytes);
    out.field("sharedBytes", use.sharedBytes);
    out.fieldNull("cgroup");
    out.endObject();
}

void writePriorities(JsonWriter& out, const HydraStep& step)
{
    const auto number = [&out](std::string_view key, const auto& value) {
        if (value)
            out.field(key, *value);
        else
            out.fieldNull(key);
    };
    number("highestGlobalPriority", step.globalPriority);
    number("highestLocalPriority", step.localPriority);
    number("lowestBuildId", step.lowestBuild);
}

} // namespace

void writeHydraMachine(JsonWriter& out, const HydraMachine& machine)
{
    out.beginObject();
    out.fieldList("systems", machine.systems);
    out.field("hostname", machine.name);
    out.field("uptime", secondsOf(machine.uptime));
    out.field("cpuCount", machine.cores);
    out.field("bogomips", machine.bogomips);
    out.field("speedFactor", machine.speedFactor);
    out.field("maxJobs", machine.maxJobs);
    out.field("buildDirAvailThreshold", machine.buildDirThreshold);
    out.field("storeAvailThreshold", machine.storeThreshold);
    out.field("load1Threshold", machine.load1Threshold);
    out.field("cpuPsiThreshold", machine.cpuThreshold);
    out.field("memPsiThreshold", machine.memThreshold);
    if (machine.ioThreshold)
        out.field("ioPsiThreshold", *machine.ioThreshold);
    else
        out.fieldNull("ioPsiThreshold");
    out.field("score", static_cast<double>(machine.score));
    out.field("totalMem", machine.memoryBytes);
    out.fieldList("supportedFeatures", machine.supportedFeatures);
    out.fieldList("mandatoryFeatures", machine.mandatoryFeatures);
    out.field("cgroups", false);
    out.fieldList("substituters", {});
    out.field("useSubstitutes", false);
    out.field("nixVersion", machine.nixVersion);
    writeStats(out, machine);
    out.fieldList("jobs", machine.jobs);
    out.field("hasCapacity", machine.hasRoom);
    out.field("hasDynamicCapacity", machine.isCalm);
    out.field("hasStaticCapacity", machine.hasSlots);
    out.endObject();
}

void writeHydraJobset(JsonWriter& out, const HydraJobset& jobset)
{
    out.beginObject();
    out.field("id", jobset.id);
    out.field("projectName", jobset.project);
    out.field("name", jobset.name);
    out.field("seconds", jobset.used.count() / 1'000'000);
    out.field("shares", jobset.shares);
    out.endObject();
}

void writeHydraBuild(JsonWriter& out, const HydraBuild& build)
{
    const auto number = [&out](std::string_view key, const std::optional<std::int64_t>& value) {
        if (value)
            out.field(key, *value);
        else
            out.fieldNull(key);
    };
    out.beginObject();
    out.field("id", build.id);
    out.field("drvPath", build.drvPath);
    out.field("jobsetId", build.jobsetId);
    out.field("name", build.name);
    out.field("timestamp", formatRfc3339(WallTime::fromMicros(build.timestamp * 1'000'000)));
    number("maxSilentTime", build.maxSilent);
    number("timeout", build.timeout);
    out.field("localPriority", build.localPriority);
    out.field("globalPriority", build.globalPriority);
    out.field("finishedInDb", false);
    out.endObject();
}

void writeHydraStep(JsonWriter& out, const HydraStep& step)
{
    out.beginObject();
    out.field("drvPath", step.drvPath);
    out.field("runnable", step.isRunnable);
    out.field("finished", false);
    out.field("previousFailure", step.hasFailed);
    out.field("created", true);
    out.field("tries", step.tries);
    writePriorities(out, step);
    out.field("depsCount", step.dependencies);
    out.endObject();
}

void writeHydraStepInfo(JsonWriter& out, const HydraStep& step)
{
    out.beginObject();
    out.field("drvPath", step.drvPath);
    out.field("alreadyScheduled", step.isScheduled);
    out.field("runnable", step.isRunnable);
    out.field("finished", false);
    out.field("cancelled", false);
    out.fieldTime("runnableSince", step.runnableSince);
    out.field("tries", step.tries);
    out.fieldNull("lowestShareUsed"); // shares are weighed when a step starts, not kept with each
    writePriorities(out, step);
    out.endObject();
}

ProcessUse processUse()
{
    ProcessUse use;
    use.pid = ::getpid();
    std::ifstream file("/proc/self/statm"); // memory of the kernel: it does not block
    std::uint64_t size = 0;
    std::uint64_t resident = 0;
    std::uint64_t shared = 0;
    if (file >> size >> resident >> shared) {
        const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
        use.virtualBytes = size * page;
        use.residentBytes = resident * page;
        use.sharedBytes = shared * page;
    }
    return use;
}

void writeHydraFarm(JsonWriter& out, const HydraFarm& farm, const ProcessUse& use)
{
    const HydraCounters& counters = farm.counters;
    const std::uint64_t unfinished = farm.stepsBlocked + farm.stepsReady + farm.stepsDelayed + farm.stepsRunning;
    out.beginObject();
    out.field("status", "up");
    out.field("time", formatRfc3339(farm.now));
    out.field("uptime", secondsOf(farm.uptime));
    writeProcess(out, use);
    out.fieldList("supportedFeatures", farm.features);
    out.field("buildCount", farm.buildsOpen);
    out.field("jobsetCount", farm.jobsets);
    out.field("stepCount", unfinished);
    out.field("runnableCount", farm.stepsReady + farm.stepsDelayed);
    writeQueueStats(out, farm.queues);
    out.field("queueChecksStarted", counters.passesStarted);
    out.field("queueBuildLoads", counters.buildsLoaded);
    out.field("queueStepsCreated", counters.stepsLoaded);
    out.field("queueChecksEarlyExits", counters.passesCutShort);
    out.field("queueChecksFinished", counters.passesFinished);
    out.field("dispatcherTimeSpentRunning", farm.dispatchTime.count());
    out.field("dispatcherTimeSpentWaiting", std::max<std::int64_t>(0, (farm.uptime - farm.dispatchTime).count()));
    out.field("queueMonitorTimeSpentRunning", counters.busyTime.count());
    out.field("queueMonitorTimeSpentWaiting", counters.idleTime.count());
    out.field("nrBuildsRead", counters.buildsRead);
    out.field("buildReadTimeMs", millis(counters.readTime));
    out.field("nrBuildsUnfinished", farm.buildsUnfinished);
    out.field("nrBuildsDone", farm.buildsDone);
    out.field("nrBuildsSucceeded", farm.buildsSucceeded);
    out.field("nrBuildsFailed", farm.buildsFailed);
    writeSteps(out, farm);
    writeTimes(out, farm.times);
    out.field("nrQueueWakeups", counters.wakeups);
    out.field("nrDispatcherWakeups", farm.dispatches);
    out.field("dispatchTimeMs", millis(farm.dispatchTime));
    out.field("machinesTotal", farm.machines);
    out.field("machinesInUse", farm.machinesInUse);
    out.field("s3UploadsPending", farm.uploadsWaiting);
    out.endObject();
}

} // namespace penstock::http
