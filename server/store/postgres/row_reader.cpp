// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/store/postgres/row_reader.h"

#include "server/store/postgres/codec.h"

namespace penstock::store::postgres {

work::JobRow readJob(RowReader& row)
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
    job.spec.name = row.text();
    job.spec.user = row.text();
    job.spec.nameSpace = row.text();
    job.spec.shareGroup = row.text();
    job.spec.key = row.text();
    job.spec.definition = row.text();
    return job;
}

work::StepRow readStep(RowReader& row)
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
    progress.state = row.word(work::parseStepState);
    progress.result = row.optionalWord(work::parseStepResult);
    progress.avoid = row.decoded(decodeAvoid(row.bytes()));
    progress.error = row.text();
    std::string name = row.text();
    const std::string_view spec = row.bytes();
    const auto drv = row.optionalBytes();
    step.spec = row.decoded(decodeSpec(spec, drv.value_or(std::string_view())));
    step.spec.name = std::move(name);
    return step;
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
    return attempt;
}

work::MachineRow readMachine(RowReader& row)
{
    const MachineId id(row.uint64());
    std::string identity = row.text();
    std::string credential = row.text();
    std::string name = row.text();
    const bool drained = row.boolean();
    std::string note = row.text();
    const WallTime first = row.time();
    return {id, std::move(identity), std::move(credential), std::move(name), drained, std::move(note), first,
            row.time()};
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

} // namespace penstock::store::postgres
