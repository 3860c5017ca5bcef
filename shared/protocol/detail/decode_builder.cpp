// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/protocol/detail/codec.h"
#include "shared/protocol/detail/decode_fields.h"
#include "shared/protocol/detail/results.h"
#include "shared/protocol/limits.h"

#include <fmt/format.h>

namespace penstock::protocol::detail {
namespace {

void readThresholds(FieldReader& fields, const link::Thresholds& from, Thresholds& to)
{
    fields.amount("thresholds.cpu_psi", from.cpu_psi(), to.cpuPsi);
    fields.amount("thresholds.mem_psi", from.mem_psi(), to.memoryPsi);
    fields.amount("thresholds.io_psi", from.io_psi(), to.ioPsi);
    fields.amount("thresholds.load1", from.load1(), to.load1);
    to.minFreeDiskBytes = from.min_free_disk_bytes();
    to.minFreeMemoryBytes = from.min_free_memory_bytes();
    to.minFreeInodes = from.min_free_inodes();
}

Result<MachineFacts> decodeFacts(const link::MachineFacts& from)
{
    FieldReader fields("facts");
    MachineFacts to;
    fields.requiredName("name", from.name(), to.name);
    fields.names("systems", from.systems(), to.systems);
    fields.names("features", from.features(), to.features);
    fields.names("mandatory_features", from.mandatory_features(), to.mandatoryFeatures);
    fields.names("tags", from.tags(), to.tags);
    fields.names("users", from.users(), to.users);
    fields.names("executors", from.executors(), to.executors);
    if (fields.atMost("max_jobs", from.max_jobs(), kMaxSlots))
        to.maxJobs = from.max_jobs();
    if (fields.atMost("cores", from.cores(), kMaxCores))
        to.cores = from.cores();
    to.memoryBytes = from.memory_bytes();
    fields.amount("speed_factor", from.speed_factor(), to.speedFactor);
    if (to.speedFactor == 0) // not said
        to.speedFactor = 1;
    fields.name("os", from.os(), to.os);
    fields.path("store_dir", from.store_dir(), to.storeDir);
    fields.name("nix_version", from.nix_version(), to.nixVersion);
    to.nixTrusted = from.nix_trusted();
    readThresholds(fields, from.thresholds(), to.thresholds);
    fields.resources(from.resources(), to.resources);
    fields.amount("bogomips", from.bogomips(), to.bogomips);
    return fields.finish(std::move(to));
}

Result<Hello> decodeHello(const link::Hello& from)
{
    FieldReader fields("hello");
    Hello to;
    to.protocolMin = from.protocol_min();
    to.protocolMax = from.protocol_max();
    if (to.protocolMin == 0 || to.protocolMax < to.protocolMin)
        fields.refuse("protocol_min", fmt::format("is {} and protocol_max {}: not a range from 1 upwards",
                                                  to.protocolMin, to.protocolMax));
    fields.names("features", from.features(), to.features);
    fields.hexId("identity", from.identity(), to.identity);
    fields.hexId("instance", from.instance(), to.instance);
    fields.name("version", from.version(), to.version);
    auto facts = decodeFacts(from.facts());
    fields.check(facts);
    if (facts)
        to.facts = *std::move(facts);
    return fields.finish(std::move(to));
}

void readPressure(FieldReader& fields, std::string_view field, const link::Pressure& from, Pressure& to)
{
    fields.amount(field, from.some_avg10(), to.someAvg10);
    fields.amount(field, from.some_avg60(), to.someAvg60);
    fields.amount(field, from.some_avg300(), to.someAvg300);
    to.someTotalMicros = from.some_total_us();
    fields.amount(field, from.full_avg10(), to.fullAvg10);
    fields.amount(field, from.full_avg60(), to.fullAvg60);
    fields.amount(field, from.full_avg300(), to.fullAvg300);
    to.fullTotalMicros = from.full_total_us();
}

void readLoad(FieldReader& fields, const link::Load& from, LoadSample& to)
{
    fields.amount("load.load1", from.load1(), to.load1);
    fields.amount("load.load5", from.load5(), to.load5);
    fields.amount("load.load15", from.load15(), to.load15);
    to.memoryAvailableBytes = from.memory_available_bytes();
    to.diskFreeBytes = from.disk_free_bytes();
    to.diskTotalBytes = from.disk_total_bytes();
    to.storeFreeBytes = from.store_free_bytes();
    to.storeTotalBytes = from.store_total_bytes();
    if (from.has_psi()) {
        PressureSample& sample = to.pressure.emplace();
        readPressure(fields, "load.cpu", from.cpu(), sample.cpu);
        readPressure(fields, "load.memory", from.memory(), sample.memory);
        readPressure(fields, "load.io", from.io(), sample.io);
    }
    fields.amount("load.cpu_busy_percent", from.cpu_busy_percent(), to.cpuBusyPercent);
    to.diskFreeInodes = from.disk_free_inodes();
    to.diskTotalInodes = from.disk_total_inodes();
}

Result<Report> decodeReport(const link::Report& from)
{
    FieldReader fields("report");
    Report to;
    to.appliedRevision = from.applied_revision();
    const auto held = static_cast<std::size_t>(from.held_size());
    if (fields.atMost("held", held, kMaxHeldAttempts)) {
        to.held.reserve(held);
        for (const link::HeldAttempt& entry : from.held()) {
            HeldAttempt& attempt = to.held.emplace_back();
            fields.id("held.attempt_id", entry.attempt_id(), attempt.attempt);
            attempt.finished = entry.finished();
        }
    }
    readLoad(fields, from.load(), to.load);
    fields.time("sent_at_us", from.sent_at_us(), to.sentAt);
    to.sequence = from.sequence();
    return fields.finish(std::move(to));
}

// A reason from a newer builder is still a reject, only without a known reason.
RejectReason rejectReason(link::RejectReason from)
{
    switch (from) {
    case link::REJECT_NO_SLOT: return RejectReason::NoSlot;
    case link::REJECT_DRAINING: return RejectReason::Draining;
    case link::REJECT_UNSUPPORTED: return RejectReason::Unsupported;
    case link::REJECT_INVALID: return RejectReason::Invalid;
    case link::REJECT_RESOURCES: return RejectReason::Resources;
    case link::REJECT_STALE: return RejectReason::Stale;
    default: return RejectReason::Unspecified;
    }
}

Result<AttemptAnswer> decodeAnswer(const link::AttemptAnswer& from)
{
    FieldReader fields("answer");
    AttemptAnswer to;
    fields.id("attempt_id", from.attempt_id(), to.attempt);
    to.accepted = from.accepted();
    to.reason = rejectReason(from.reason());
    fields.text("text", from.text(), to.text, kMaxNoteBytes);
    return fields.finish(std::move(to));
}

std::optional<Outcome> outcome(link::Outcome from)
{
    switch (from) {
    case link::OUTCOME_SUCCEEDED: return Outcome::Succeeded;
    case link::OUTCOME_FAILED: return Outcome::Failed;
    case link::OUTCOME_TIMED_OUT: return Outcome::TimedOut;
    case link::OUTCOME_SILENT_TIMED_OUT: return Outcome::SilentTimedOut;
    case link::OUTCOME_LOG_LIMIT: return Outcome::LogLimit;
    case link::OUTCOME_CANCELLED: return Outcome::Cancelled;
    case link::OUTCOME_INFRASTRUCTURE: return Outcome::Infrastructure;
    case link::OUTCOME_NOT_DETERMINISTIC: return Outcome::NotDeterministic;
    case link::OUTCOME_OUTPUT_LIMIT: return Outcome::OutputLimit;
    case link::OUTCOME_TRANSIENT: return Outcome::Transient;
    default: return std::nullopt;
    }
}

Result<AttemptResult> decodeFinished(const link::AttemptFinished& from)
{
    FieldReader fields("finished");
    AttemptResult to;
    fields.id("attempt_id", from.attempt_id(), to.attempt);
    if (const auto known = outcome(from.outcome()))
        to.outcome = *known;
    else
        fields.refuse("outcome", fmt::format("is {}, which this version does not know",
                                             static_cast<int>(from.outcome())));
    to.exitCode = from.exit_code();
    to.signal = from.signal();
    fields.text("error", from.error(), to.error, kMaxErrorBytes);
    fields.time("started_at_us", from.started_at_us(), to.startedAt);
    fields.time("stopped_at_us", from.stopped_at_us(), to.stoppedAt);
    fields.micros("cpu_user_us", from.cpu_user_us(), to.cpuUser);
    fields.micros("cpu_system_us", from.cpu_system_us(), to.cpuSystem);
    to.maxRssBytes = from.max_rss_bytes();
    to.logBytes = from.log_bytes();
    to.logTruncated = from.log_truncated();
    fields.outputs("outputs", from.outputs(), to.outputs);
    to.cached = from.cached();
    to.nixStatus = from.nix_status();
    to.coreDumped = from.core_dumped();
    to.isFinal = from.is_final();
    fields.micros("copied_us", from.copied_us(), to.effort.copied);
    if (fields.atMost("rounds", from.rounds(), kMaxRounds))
        to.effort.rounds = from.rounds();
    to.effort.isNondeterministic = from.is_nondeterministic();
    readResults(fields, from.nix_results(), to.results);
    return fields.finish(std::move(to));
}

std::optional<Stream> stream(link::Stream from)
{
    switch (from) {
    case link::STREAM_OUT: return Stream::Out;
    case link::STREAM_ERR: return Stream::Err;
    case link::STREAM_SYSTEM: return Stream::System;
    default: return std::nullopt;
    }
}

Result<LogChunk> decodeLog(const link::LogChunk& from)
{
    FieldReader fields("log");
    LogChunk to;
    fields.id("attempt_id", from.attempt_id(), to.attempt);
    to.offset = from.offset();
    const auto count = static_cast<std::size_t>(from.records_size());
    if (!fields.atMost("records", count, kMaxLogRecords))
        return fields.finish(std::move(to));
    to.records.reserve(count);
    std::size_t total = 0;
    for (const link::LogRecord& entry : from.records()) {
        LogRecord& record = to.records.emplace_back();
        fields.time("records.time_us", entry.time_us(), record.time);
        if (const auto known = stream(entry.stream()))
            record.stream = *known;
        else
            fields.refuse("records.stream", fmt::format("is {}, which this version does not know",
                                                        static_cast<int>(entry.stream())));
        if (!fields.atMost("records.data", entry.data().size(), kMaxLogRecordBytes))
            return fields.finish(std::move(to));
        record.data = entry.data();
        total += entry.data().size();
    }
    fields.atMost("records", total, kMaxLogChunkBytes);
    if (to.offset > UINT64_MAX - total)
        fields.refuse("offset", fmt::format("is {}, too near the end of 64 bits", to.offset));
    return fields.finish(std::move(to));
}

Result<AttemptProgress> decodeProgress(const link::AttemptProgress& from)
{
    FieldReader fields("progress");
    AttemptProgress to;
    fields.id("attempt_id", from.attempt_id(), to.attempt);
    fields.name("phase", from.phase(), to.phase);
    fields.time("started_at_us", from.started_at_us(), to.startedAt);
    return fields.finish(std::move(to));
}

Result<Drain> decodeDrain(const link::Drain& from)
{
    FieldReader fields("drain");
    Drain to;
    to.draining = from.draining();
    fields.text("note", from.note(), to.note, kMaxNoteBytes);
    return fields.finish(std::move(to));
}

template <class T> Result<std::optional<BuilderMessage>> wrap(Result<T> value)
{
    if (!value)
        return fail(std::move(value).error());
    return std::optional<BuilderMessage>(std::in_place, *std::move(value));
}

} // namespace

Result<std::optional<BuilderMessage>> decode(const link::BuilderMessage& from)
{
    switch (from.kind_case()) {
    case link::BuilderMessage::kHello: return wrap(decodeHello(from.hello()));
    case link::BuilderMessage::kReport: return wrap(decodeReport(from.report()));
    case link::BuilderMessage::kAnswer: return wrap(decodeAnswer(from.answer()));
    case link::BuilderMessage::kFinished: return wrap(decodeFinished(from.finished()));
    case link::BuilderMessage::kLog: return wrap(decodeLog(from.log()));
    case link::BuilderMessage::kProgress: return wrap(decodeProgress(from.progress()));
    case link::BuilderMessage::kDrain: return wrap(decodeDrain(from.drain()));
    case link::BuilderMessage::kGoodbye: return wrap(decodeGoodbye(from.goodbye()));
    case link::BuilderMessage::kFacts: return wrap(decodeFacts(from.facts()));
    case link::BuilderMessage::KIND_NOT_SET: break;
    }
    return std::optional<BuilderMessage>();
}

} // namespace penstock::protocol::detail
