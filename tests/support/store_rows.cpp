// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/support/store_rows.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <limits>

namespace penstock::store {
namespace {

constexpr std::int64_t kTime = 1'790'000'000'123'456;
const std::string kOddBytes("a\0b\xFF\xC3(\n\"'\\{},\x7F\xF4\x8F\xBF\xBF", 18);

std::string show(const std::optional<WallTime>& at)
{
    return at ? std::to_string(at->micros()) : "-";
}

std::string show(const std::optional<double>& value)
{
    return value ? fmt::format("{}", *value) : "-";
}

std::string show(const std::optional<std::uint64_t>& value)
{
    return value ? std::to_string(*value) : "-";
}

std::string show(const work::Work& work)
{
    if (const auto* command = std::get_if<work::CommandWork>(&work))
        return fmt::format("command {} env {}", command->argv, command->env);
    const auto& nix = std::get<work::NixWork>(work);
    std::string text = fmt::format("nix {} drv {:?} inputs {}", nix.drvPath, nix.drv, nix.inputPaths);
    for (const work::NixOutput& output : nix.outputs)
        text += fmt::format(" {}={}", output.name, output.path);
    return text;
}

std::string show(const work::JobProgress& p)
{
    return fmt::format("{} started {} finished {} result {} exit {} signal {} error {:?} bumped {} held {} {:?}",
                       toString(p.state), show(p.started), show(p.finished), p.result ? toString(*p.result) : "-",
                       p.exitCode, p.signal, p.error, show(p.bumped), p.held, p.holdNote);
}

std::string show(const work::StepProgress& p)
{
    std::string avoid;
    for (const MachineId id : p.avoid)
        avoid += std::to_string(id.value()) + ",";
    std::string revealed;
    for (const work::OutputFact& output : p.revealed)
        revealed += fmt::format("{}={} {} {},", output.name, output.path, output.narHash, output.narSize);
    return fmt::format("{} result {} attempts {} failures {} infra {} losses {} ready {} retry {} finished {} dep {} "
                       "avoid {} error {:?} revealed {}",
                       toString(p.state), p.result ? toString(*p.result) : "-", p.attempts, p.failures,
                       p.infrastructureFailures, p.losses, show(p.readySince), show(p.retryAt), show(p.finished),
                       p.failedDependency ? p.failedDependency->value() : 0, avoid, p.error, revealed);
}

std::string show(const work::BuildResults& results)
{
    const work::BuildEffort& effort = results.effort;
    std::string text = fmt::format("release {:?} failed {} closure {} copied {} rounds {} {}", results.releaseName,
                                   results.failed, results.closureSize, effort.copied.count(), effort.rounds,
                                   effort.isNondeterministic);
    for (const work::BuildProduct& p : results.products)
        text += fmt::format("; product {:?} {:?} {:?} {:?} {:?} {:?} {} {} {:?}", p.type, p.subtype, p.output, p.path,
                            p.defaultPath, p.name, toString(p.kind), p.size, p.sha256);
    for (const work::BuildMetric& m : results.metrics)
        text += fmt::format("; metric {:?} {} {:?}", m.name, m.value, m.unit);
    return text;
}

std::string show(const work::AttemptProgress& p)
{
    std::string outputs;
    for (const work::OutputFact& output : p.outputs)
        outputs += fmt::format("{:?} {:?} {:?} {};", output.name, output.path, output.narHash, output.narSize);
    return fmt::format("{} end {} started {} stopped {} exit {} signal {} core {} error {:?} cpu {}/{} rss {} log {} "
                       "{} outputs {} results {}",
                       toString(p.state), p.end ? toString(*p.end) : "-", show(p.started), show(p.stopped),
                       p.exitCode, p.signal, p.coreDumped, p.error, p.cpuUser.count(), p.cpuSystem.count(),
                       p.maxRssBytes, p.logBytes, p.logTruncated, outputs, show(p.results.get()));
}

} // namespace

work::JobRow jobRow(std::uint64_t id, std::string name)
{
    work::JobRow row{JobId(id), {}, WallTime::fromMicros(kTime), {}, 1};
    row.spec.name = std::move(name);
    row.spec.user = "ada";
    row.spec.shareGroup = "default";
    return row;
}

work::StepRow commandStep(std::uint64_t id)
{
    work::StepRow row{StepId(id), {}, WallTime::fromMicros(kTime), {}};
    row.spec.name = "true";
    row.spec.placement.executor = "command";
    row.spec.work = std::make_shared<const work::Work>(work::CommandWork{{"true"}, {}});
    return row;
}

work::StepRow nixStep(std::uint64_t id)
{
    work::StepRow row = commandStep(id);
    row.spec.placement.executor = "nix";
    const std::string path = fmt::format("/nix/store/{:032}-hello", id);
    row.spec.work = std::make_shared<const work::Work>(
        work::NixWork{path + ".drv", "Derive([(\"out\")])", {path + "-src"}, {{"out", path}, {"dev", ""}}});
    return row;
}

work::StepRow withoutText(work::StepRow row)
{
    if (const auto* nix = std::get_if<work::NixWork>(row.spec.work.get()))
        row.spec.work = std::make_shared<const work::Work>(
            work::NixWork{nix->drvPath, {}, {}, nix->outputs, nix->platform});
    return row;
}

work::AttemptRow attemptRow(std::uint64_t id, std::uint64_t step, std::uint64_t job)
{
    return {AttemptId(id), StepId(step), JobId(job), MachineId(1), 1, WallTime::fromMicros(kTime), {}};
}

work::MachineRow machineRow(std::uint64_t id, std::string name)
{
    const WallTime at = WallTime::fromMicros(kTime);
    return {MachineId(id), fmt::format("{:032x}", id), "local", std::move(name), false, "", at, at};
}

work::JobRow fullJob(std::uint64_t id)
{
    work::JobRow row = jobRow(id, "full " + kOddBytes);
    row.spec.user = "grace " + kOddBytes;
    row.spec.nameSpace = "ns " + kOddBytes;
    row.spec.shareGroup = "group " + kOddBytes;
    row.spec.priority = -7;
    row.spec.limits = {Duration{1}, Duration{std::numeric_limits<std::int64_t>::max()},
                       std::numeric_limits<std::uint64_t>::max(), std::numeric_limits<std::uint64_t>::max() - 2,
                       4'000'000'011};
    row.spec.concurrencyGroup = "together " + kOddBytes;
    row.spec.concurrencyLimit = 4'000'000'002;
    row.spec.sourceId = 4'000'000'003;
    row.spec.key = fmt::format("key {} ", id) + kOddBytes;
    row.spec.definition = "{\"a\": 1}" + kOddBytes;
    row.stepsTotal = 4'000'000'000;
    row.progress = {work::JobState::Running, WallTime::fromMicros(-5), WallTime::fromMicros(kTime + 2),
                    work::StepResult::TimedOut, -1, 9, "it " + kOddBytes, WallTime::fromMicros(kTime + 8), true,
                    "held " + kOddBytes};
    return row;
}

work::StepRow fullStep(std::uint64_t id)
{
    work::StepRow row{StepId(id), {}, WallTime::fromMicros(kTime + 3), {}};
    row.spec.name = "step " + kOddBytes;
    row.spec.placement = {"x86_64-linux", {"kvm", kOddBytes}, {"gpu"}, {"linux"}, {"m1", "m2"}, "command", "bob"};
    row.spec.retry = {3, Duration{5}, 7, Duration{11}, 13};
    row.spec.resources.cpus = 4'000'000'001;
    row.spec.resources.memoryBytes = std::numeric_limits<std::uint64_t>::max() - 1;
    row.spec.resources.named = {{"", 1}, {"gpu", 2}, {kOddBytes, std::numeric_limits<std::uint64_t>::max()}};
    row.spec.work = std::make_shared<const work::Work>(
        work::CommandWork{{"sh", "-c", kOddBytes, ""}, {{"A", kOddBytes}, {"EMPTY", ""}, {kOddBytes, "x"}}});
    row.progress = {work::StepState::Delayed,
                    work::StepResult::Failed,
                    5,
                    6,
                    7,
                    WallTime::fromMicros(kTime + 4),
                    WallTime::fromMicros(kTime + 5),
                    WallTime::fromMicros(kTime + 6),
                    StepId(99),
                    {MachineId(3), MachineId(1), MachineId(2)},
                    "why " + kOddBytes,
                    4'000'000'003,
                    {{"out", "/nix/store/" + kOddBytes, "sha256:ab", 7}, {"dev", "", "", 0}}};
    return row;
}

work::BuildResults fullResults()
{
    work::BuildResults results;
    results.products = {{"doc", "manual", "out", "share/doc " + kOddBytes, "index.html", "doc " + kOddBytes,
                         work::ProductKind::Directory, 0, ""},
                        {"file", "", "dev", "", "", "", work::ProductKind::Symlink, 0, ""},
                        {"file", "iso", "out", "a.iso", "", "a.iso", work::ProductKind::File,
                         std::numeric_limits<std::uint64_t>::max(), std::string(64, 'f')}};
    results.metrics = {{"time", -0.1, "s"}, {"huge", std::numeric_limits<double>::max(), ""}, {"none", 0, "%"}};
    results.releaseName = "hello-" + kOddBytes;
    results.failed = true;
    results.closureSize = std::numeric_limits<std::uint64_t>::max();
    results.effort = {std::chrono::milliseconds(77), 2, true};
    return results;
}

work::AttemptRow fullAttempt(std::uint64_t id, std::uint64_t step, std::uint64_t job)
{
    work::AttemptRow row = attemptRow(id, step, job);
    row.machine = MachineId(7);
    row.number = 12;
    row.progress = {work::AttemptState::Running,
                    work::AttemptEnd::Infrastructure,
                    WallTime::fromMicros(kTime + 7),
                    WallTime::fromMicros(std::numeric_limits<std::int64_t>::max()),
                    255,
                    15,
                    true,
                    "broken " + kOddBytes,
                    Duration{123},
                    Duration{456},
                    std::numeric_limits<std::uint64_t>::max(),
                    std::numeric_limits<std::uint64_t>::max() - 3,
                    true,
                    {{"out", "/nix/store/" + kOddBytes, "sha256:x", 17}, {"", "", "", 0}},
                    fullResults()};
    return row;
}

work::MachineRow fullMachine(std::uint64_t id)
{
    work::MachineRow row = machineRow(id, "machine " + kOddBytes);
    row.credential = "token " + kOddBytes;
    row.drained = true;
    row.drainNote = "disk " + kOddBytes;
    row.lastSeen = row.firstSeen + Duration{77};
    row.overrides = {0.0,
                     -0.0,
                     std::numeric_limits<double>::denorm_min(),
                     std::numeric_limits<double>::infinity(),
                     0,
                     std::numeric_limits<std::uint64_t>::max(),
                     17};
    row.health = {work::HealthState::Quarantined, 4'000'000'004, 4'000'000'005, WallTime::fromMicros(kTime + 9),
                  "broken " + kOddBytes};
    return row;
}

work::NamespaceRow fullNamespace(const std::string& name)
{
    return {name, 4'000'000'006, 4'000'000'007, 4'000'000'008};
}

work::HistoryRow fullHistory(const std::string& name)
{
    return {name,          4'000'000'009, Duration{std::numeric_limits<std::int64_t>::max()},
            std::numeric_limits<std::uint64_t>::max(), 4'000'000'010, WallTime::fromMicros(kTime + 10)};
}

work::DispatchPause fullPause()
{
    return {true, "ada " + kOddBytes, "moving " + kOddBytes, WallTime::fromMicros(kTime + 11)};
}

const std::string& oddBytes()
{
    return kOddBytes;
}

work::Changes oneJob(std::uint64_t id, std::string name)
{
    work::Changes changes;
    changes.newJobs.push_back(jobRow(id, std::move(name)));
    changes.newSteps.push_back(commandStep(id));
    changes.jobSteps.push_back({JobId(id), StepId(id), true});
    return changes;
}

work::JobProgress finishedJob(work::JobState state)
{
    const WallTime at = WallTime::fromMicros(kTime + 100);
    const bool good = state == work::JobState::Succeeded;
    return {state, at, at, good ? work::StepResult::Succeeded : work::StepResult::Failed, good ? 0 : 1, 0, ""};
}

work::StepProgress finishedStep(work::StepResult result)
{
    work::StepProgress progress;
    progress.state = work::StepState::Finished;
    progress.result = result;
    progress.attempts = 1;
    progress.finished = WallTime::fromMicros(kTime + 100);
    return progress;
}

work::AttemptProgress endedAttempt(work::AttemptEnd end)
{
    work::AttemptProgress progress;
    progress.state = work::AttemptState::Ended;
    progress.end = end;
    progress.started = progress.stopped = WallTime::fromMicros(kTime + 100);
    return progress;
}

std::string show(const work::JobRow& row)
{
    const work::JobSpec& s = row.spec;
    return fmt::format("job {} {:?} user {:?} ns {:?} group {:?} priority {} key {:?} definition {:?} limits {} {} "
                       "{} {} {} concurrency {:?} {} source {} created {} total {} | {}",
                       row.id.value(), s.name, s.user, s.nameSpace, s.shareGroup, s.priority, s.key, s.definition,
                       s.limits.timeout.count(), s.limits.silentTimeout.count(), s.limits.maxLogBytes,
                       s.limits.maxOutputBytes, s.limits.repeats, s.concurrencyGroup, s.concurrencyLimit, s.sourceId,
                       row.created.micros(), row.stepsTotal, show(row.progress));
}

std::string show(const work::StepRow& row)
{
    const work::StepSpec& s = row.spec;
    const work::Placement& p = s.placement;
    return fmt::format("step {} {:?} created {} on {:?} {} {} {} {} {} {} retry {} {} {} {} "
                       "{} cpus {} memory {} named {} {} | {}",
                       row.id.value(), s.name, row.created.micros(), p.system, p.features, p.tags, p.os, p.machines,
                       p.executor, p.user, s.retry.retries, s.retry.initial.count(), s.retry.factor,
                       s.retry.max.count(), s.retry.jitterPercent, s.resources.cpus,
                       s.resources.memoryBytes, s.resources.named, show(*s.work), show(row.progress));
}

std::string show(const work::AttemptRow& row)
{
    return fmt::format("attempt {} step {} job {} machine {} number {} created {} | {}", row.id.value(),
                       row.step.value(), row.job.value(), row.machine.value(), row.number, row.created.micros(),
                       show(row.progress));
}

std::string show(const work::MachineRow& row)
{
    const work::ThresholdOverrides& o = row.overrides;
    const work::MachineHealth& h = row.health;
    return fmt::format("machine {} {} credential {:?} {:?} drained {} {:?} seen {} {} psi {} {} {} load {} "
                       "free {} {} {} health {} {} {} until {} {:?}",
                       row.id.value(), row.identity, row.credential, row.name, row.drained, row.drainNote,
                       row.firstSeen.micros(), row.lastSeen.micros(), show(o.cpuPsi), show(o.memoryPsi),
                       show(o.ioPsi), show(o.load1), show(o.minFreeDiskBytes), show(o.minFreeMemoryBytes),
                       show(o.minFreeInodes), static_cast<int>(h.state), h.failuresInRow, h.quarantines,
                       show(h.until), h.reason);
}

std::string show(const work::ShareGroupRow& row)
{
    return fmt::format("share group {:?} {}", row.name, row.shares);
}

std::string show(const work::NamespaceRow& row)
{
    return fmt::format("namespace {:?} steps {} jobs {} cpus {}", row.name, row.maxRunningSteps, row.maxQueuedJobs,
                       row.maxCpus);
}

std::string show(const work::UsageRow& row)
{
    return fmt::format("usage {:?} {} {}", row.group, row.bucket.micros(), row.used.count());
}

std::string show(const work::HistoryRow& row)
{
    return fmt::format("history {:?} runs {} duration {} memory {} cpus {} last {}", row.name, row.runs,
                       row.duration.count(), row.memoryBytes, row.milliCpus, row.lastRun.micros());
}

std::string show(const work::DispatchPause& pause)
{
    return fmt::format("paused {} {:?} {:?} {}", pause.paused, pause.who, pause.note, pause.since.micros());
}

std::string show(const work::Recovery& recovery)
{
    std::string text;
    for (const auto& row : recovery.machines)
        text += show(row) + "\n";
    for (const auto& row : recovery.jobs)
        text += show(row) + "\n";
    for (const auto& row : recovery.steps)
        text += show(row) + "\n";
    for (const auto& row : recovery.dependencies)
        text += fmt::format("{} needs {}\n", row.step.value(), row.dependsOn.value());
    for (const auto& row : recovery.jobSteps)
        text += fmt::format("job {} wants {} {}\n", row.job.value(), row.step.value(), row.root);
    for (const auto& row : recovery.attempts)
        text += show(row) + "\n";
    const work::IdMarks& marks = recovery.marks;
    text += fmt::format("marks {} {} {} {}\n", marks.job, marks.step, marks.attempt, marks.machine);
    for (const auto& [key, job] : recovery.keys)
        text += fmt::format("key {:?} {:?} job {}\n", key.first, key.second, job.value());
    for (const auto& row : recovery.shareGroups)
        text += show(row) + "\n";
    for (const auto& row : recovery.namespaces)
        text += show(row) + "\n";
    for (const auto& row : recovery.usage)
        text += show(row) + "\n";
    for (const auto& row : recovery.history)
        text += show(row) + "\n";
    text += show(recovery.pause) + "\n";
    return text;
}

} // namespace penstock::store
