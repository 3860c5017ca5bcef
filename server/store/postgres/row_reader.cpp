// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/store/postgres/row_reader.h"

#include "server/store/postgres/codec.h"
#include "server/work/health.h"

#include <utility>

namespace penstock::store::postgres {

work::JobRow readJob(RowReader& row, FormerLimits* former)
{
    work::JobRow job{JobId(row.uint64()), {}, row.time(), {}, 0};
    job.spec.priority = row.int32();
    job.stepsTotal = row.uint32();
    work::JobProgress& progress = job.progress;
    progress.started = row.optionalTime();
    progress.finished = row.optionalTime();
    progress.exitCode = row.int32();
    progress.signal = row.int32();
    progress.state = row.word(work::parseJobState);
    progress.result = row.optionalWord(work::parseStepResult);
    progress.error = row.text();
    progress.bumped = row.optionalTime();
    progress.held = row.boolean();
    progress.holdNote = row.text();
    job.spec.name = row.text();
    job.spec.user = row.text();
    job.spec.nameSpace = row.text();
    job.spec.shareGroup = row.text();
    job.spec.key = row.text();
    job.spec.definition = row.text();
    if (const auto spec = row.optionalBytes())
        row.check(decodeJobSpec(*spec, job.spec));
    else if (former != nullptr)
        former->addJob(job.id);
    return job;
}

work::StepRow readStep(RowReader& row, FormerLimits* former)
{
    work::StepRow step{StepId(row.uint64()), {}, row.time(), {}};
    work::StepProgress& progress = step.progress;
    progress.readySince = row.optionalTime();
    progress.retryAt = row.optionalTime();
    progress.finished = row.optionalTime();
    if (const auto failed = row.optionalInt64())
        progress.failedDependency = StepId(static_cast<std::uint64_t>(*failed));
    progress.attempts = row.uint32();
    progress.failures = row.uint32();
    progress.infrastructureFailures = row.uint32();
    progress.losses = row.uint32();
    progress.state = row.word(work::parseStepState);
    progress.result = row.optionalWord(work::parseStepResult);
    progress.avoid = row.decoded(decodeAvoid(row.bytes()));
    progress.error = row.text();
    progress.revealed = row.decoded(decodeOutputs(row.bytes()));
    std::string name = row.text();
    const std::string_view spec = row.bytes();
    const auto drv = row.optionalBytes();
    const Inputs inputs = former == nullptr ? Inputs::Read : Inputs::Skipped;
    StoredSpec stored = row.decoded(decodeSpec(spec, drv.value_or(std::string_view()), inputs));
    step.spec = std::move(stored.spec);
    if (stored.formerLimits && former != nullptr)
        former->addStep(step.id, *stored.formerLimits);
    step.spec.name = std::move(name);
    return step;
}

std::optional<StoredDerivation> readDerivation(RowReader& row)
{
    const StepId step(row.uint64());
    const std::string_view spec = row.bytes();
    const auto drv = row.optionalBytes();
    const StoredSpec stored = row.decoded(decodeSpec(spec, {}));
    const auto* nix = stored.spec.work ? std::get_if<work::NixWork>(stored.spec.work.get()) : nullptr;
    if (nix == nullptr)
        return std::nullopt;
    return StoredDerivation{step, std::string(drv.value_or(std::string_view())), nix->inputPaths};
}

work::AttemptRow readAttempt(RowReader& row)
{
    const AttemptId id(row.uint64());
    const StepId step(row.uint64());
    const JobId job(row.uint64());
    const MachineId machine(row.uint64());
    const std::uint32_t number = row.uint32();
    work::AttemptRow attempt{id, step, job, machine, number, row.time(), {}};
    work::AttemptProgress& progress = attempt.progress;
    progress.started = row.optionalTime();
    progress.stopped = row.optionalTime();
    progress.cpuUser = Duration(row.int64());
    progress.cpuSystem = Duration(row.int64());
    progress.maxRssBytes = row.uint64();
    progress.logBytes = row.uint64();
    progress.exitCode = row.int32();
    progress.signal = row.int32();
    progress.coreDumped = row.boolean();
    progress.logTruncated = row.boolean();
    progress.state = row.word(work::parseAttemptState);
    progress.end = row.optionalWord(work::parseAttemptEnd);
    progress.error = row.text();
    progress.outputs = row.decoded(decodeOutputs(row.bytes()));
    progress.results = row.decoded(decodeResults(row.bytes()));
    return attempt;
}

work::MachineRow readMachine(RowReader& row)
{
    work::MachineRow machine{MachineId(row.uint64()), {}, {}, {}, false, {}, {}, {}};
    machine.identity = row.text();
    machine.credential = row.text();
    machine.name = row.text();
    machine.drained = row.boolean();
    machine.drainNote = row.text();
    machine.firstSeen = row.time();
    machine.lastSeen = row.time();
    work::ThresholdOverrides& overrides = machine.overrides;
    overrides.cpuPsi = row.optionalFloat64();
    overrides.memoryPsi = row.optionalFloat64();
    overrides.ioPsi = row.optionalFloat64();
    overrides.load1 = row.optionalFloat64();
    overrides.minFreeDiskBytes = row.optionalUint64();
    overrides.minFreeMemoryBytes = row.optionalUint64();
    overrides.minFreeInodes = row.optionalUint64();
    work::MachineHealth& health = machine.health;
    health.state = row.word(work::parseHealthState);
    health.failuresInRow = row.uint32();
    health.quarantines = row.uint32();
    health.until = row.optionalTime();
    health.reason = row.text();
    return machine;
}

TokenRow readToken(RowReader& row)
{
    TokenRow token;
    token.id = row.text();
    token.hash = row.text();
    token.kind = row.text();
    token.name = row.text();
    token.created = row.time();
    token.expires = row.optionalTime();
    token.revoked = row.boolean();
    return token;
}

work::DependencyRow readDependency(RowReader& row)
{
    const StepId step(row.uint64());
    return {step, StepId(row.uint64())};
}

work::JobStepRow readJobStep(RowReader& row)
{
    const JobId job(row.uint64());
    const StepId step(row.uint64());
    return {job, step, row.boolean()};
}

work::ShareGroupRow readShareGroup(RowReader& row)
{
    work::ShareGroupRow group;
    group.name = row.text();
    group.shares = row.uint32();
    return group;
}

work::NamespaceRow readNamespace(RowReader& row)
{
    work::NamespaceRow space;
    space.name = row.text();
    space.maxRunningSteps = row.uint32();
    space.maxQueuedJobs = row.uint32();
    space.maxCpus = row.uint32();
    return space;
}

work::UsageRow readUsage(RowReader& row)
{
    work::UsageRow usage;
    usage.group = row.text();
    usage.bucket = row.time();
    usage.used = Duration(row.int64());
    return usage;
}

work::HistoryRow readHistory(RowReader& row)
{
    work::HistoryRow history;
    history.name = row.text();
    history.runs = row.uint32();
    history.duration = Duration(row.int64());
    history.memoryBytes = row.uint64();
    history.milliCpus = row.uint32();
    history.lastRun = row.time();
    return history;
}

work::DispatchPause readPause(RowReader& row)
{
    work::DispatchPause pause;
    pause.paused = row.boolean();
    pause.who = row.text();
    pause.note = row.text();
    pause.since = row.time();
    return pause;
}

} // namespace penstock::store::postgres
