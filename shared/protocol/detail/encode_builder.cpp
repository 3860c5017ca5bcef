// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/base/text.h"
#include "shared/protocol/detail/codec.h"
#include "shared/protocol/detail/results.h"

namespace penstock::protocol::detail {
namespace {

std::uint64_t micros(WallTime at)
{
    return static_cast<std::uint64_t>(std::max<std::int64_t>(at.micros(), 0));
}

std::uint64_t micros(Duration span)
{
    return static_cast<std::uint64_t>(std::max<std::int64_t>(span.count(), 0));
}

void addAll(google::protobuf::RepeatedPtrField<std::string>& to, const std::vector<std::string>& from)
{
    to.Reserve(static_cast<int>(from.size()));
    for (const std::string& entry : from)
        *to.Add() = entry;
}

void fill(link::MachineFacts& to, const MachineFacts& from)
{
    to.set_name(from.name);
    addAll(*to.mutable_systems(), from.systems);
    addAll(*to.mutable_features(), from.features);
    addAll(*to.mutable_mandatory_features(), from.mandatoryFeatures);
    addAll(*to.mutable_tags(), from.tags);
    addAll(*to.mutable_users(), from.users);
    addAll(*to.mutable_executors(), from.executors);
    to.set_max_jobs(from.maxJobs);
    to.set_cores(from.cores);
    to.set_memory_bytes(from.memoryBytes);
    to.set_speed_factor(from.speedFactor);
    to.set_os(from.os);
    to.set_store_dir(from.storeDir);
    to.set_nix_version(from.nixVersion);
    to.set_nix_trusted(from.nixTrusted);
    link::Thresholds& thresholds = *to.mutable_thresholds();
    thresholds.set_cpu_psi(from.thresholds.cpuPsi);
    thresholds.set_mem_psi(from.thresholds.memoryPsi);
    thresholds.set_io_psi(from.thresholds.ioPsi);
    thresholds.set_load1(from.thresholds.load1);
    thresholds.set_min_free_disk_bytes(from.thresholds.minFreeDiskBytes);
    thresholds.set_min_free_memory_bytes(from.thresholds.minFreeMemoryBytes);
    thresholds.set_min_free_inodes(from.thresholds.minFreeInodes);
    for (const auto& [name, amount] : from.resources)
        (*to.mutable_resources())[name] = amount;
    to.set_bogomips(from.bogomips);
}

void fill(link::Pressure& to, const Pressure& from)
{
    to.set_some_avg10(from.someAvg10);
    to.set_some_avg60(from.someAvg60);
    to.set_some_avg300(from.someAvg300);
    to.set_some_total_us(from.someTotalMicros);
    to.set_full_avg10(from.fullAvg10);
    to.set_full_avg60(from.fullAvg60);
    to.set_full_avg300(from.fullAvg300);
    to.set_full_total_us(from.fullTotalMicros);
}

void fill(link::Load& to, const LoadSample& from)
{
    to.set_load1(from.load1);
    to.set_load5(from.load5);
    to.set_load15(from.load15);
    to.set_memory_available_bytes(from.memoryAvailableBytes);
    to.set_disk_free_bytes(from.diskFreeBytes);
    to.set_disk_total_bytes(from.diskTotalBytes);
    to.set_store_free_bytes(from.storeFreeBytes);
    to.set_store_total_bytes(from.storeTotalBytes);
    to.set_has_psi(from.pressure.has_value());
    if (from.pressure) {
        fill(*to.mutable_cpu(), from.pressure->cpu);
        fill(*to.mutable_memory(), from.pressure->memory);
        fill(*to.mutable_io(), from.pressure->io);
    }
    to.set_cpu_busy_percent(from.cpuBusyPercent);
    to.set_disk_free_inodes(from.diskFreeInodes);
    to.set_disk_total_inodes(from.diskTotalInodes);
}

link::RejectReason wire(RejectReason reason)
{
    switch (reason) {
    case RejectReason::Unspecified: return link::REJECT_UNSPECIFIED;
    case RejectReason::NoSlot: return link::REJECT_NO_SLOT;
    case RejectReason::Draining: return link::REJECT_DRAINING;
    case RejectReason::Unsupported: return link::REJECT_UNSUPPORTED;
    case RejectReason::Invalid: return link::REJECT_INVALID;
    case RejectReason::Resources: return link::REJECT_RESOURCES;
    case RejectReason::Stale: return link::REJECT_STALE;
    }
    return link::REJECT_UNSPECIFIED;
}

link::Outcome wire(Outcome outcome)
{
    switch (outcome) {
    case Outcome::Succeeded: return link::OUTCOME_SUCCEEDED;
    case Outcome::Failed: return link::OUTCOME_FAILED;
    case Outcome::TimedOut: return link::OUTCOME_TIMED_OUT;
    case Outcome::SilentTimedOut: return link::OUTCOME_SILENT_TIMED_OUT;
    case Outcome::LogLimit: return link::OUTCOME_LOG_LIMIT;
    case Outcome::Cancelled: return link::OUTCOME_CANCELLED;
    case Outcome::Infrastructure: return link::OUTCOME_INFRASTRUCTURE;
    case Outcome::NotDeterministic: return link::OUTCOME_NOT_DETERMINISTIC;
    case Outcome::OutputLimit: return link::OUTCOME_OUTPUT_LIMIT;
    case Outcome::Transient: return link::OUTCOME_TRANSIENT;
    }
    return link::OUTCOME_INFRASTRUCTURE;
}

link::Stream wire(Stream stream)
{
    switch (stream) {
    case Stream::Out: return link::STREAM_OUT;
    case Stream::Err: return link::STREAM_ERR;
    case Stream::System: return link::STREAM_SYSTEM;
    }
    return link::STREAM_SYSTEM;
}

struct BuilderEncoder {
    link::BuilderMessage& out;

    void operator()(const Hello& from) const
    {
        link::Hello& to = *out.mutable_hello();
        to.set_protocol_min(from.protocolMin);
        to.set_protocol_max(from.protocolMax);
        addAll(*to.mutable_features(), from.features);
        to.set_identity(from.identity);
        to.set_instance(from.instance);
        to.set_version(from.version);
        fill(*to.mutable_facts(), from.facts);
    }
    void operator()(const Report& from) const
    {
        link::Report& to = *out.mutable_report();
        to.set_applied_revision(from.appliedRevision);
        to.mutable_held()->Reserve(static_cast<int>(from.held.size()));
        for (const HeldAttempt& entry : from.held) {
            link::HeldAttempt& held = *to.add_held();
            held.set_attempt_id(entry.attempt.value());
            held.set_finished(entry.finished);
        }
        fill(*to.mutable_load(), from.load);
        to.set_sent_at_us(micros(from.sentAt));
        to.set_sequence(from.sequence);
    }
    void operator()(const AttemptAnswer& from) const
    {
        link::AttemptAnswer& to = *out.mutable_answer();
        to.set_attempt_id(from.attempt.value());
        to.set_accepted(from.accepted);
        to.set_reason(wire(from.reason));
        to.set_text(toValidUtf8(from.text));
    }
    void operator()(const AttemptResult& from) const
    {
        link::AttemptFinished& to = *out.mutable_finished();
        to.set_attempt_id(from.attempt.value());
        to.set_outcome(wire(from.outcome));
        to.set_exit_code(from.exitCode);
        to.set_signal(from.signal);
        to.set_error(toValidUtf8(from.error));
        to.set_started_at_us(micros(from.startedAt));
        to.set_stopped_at_us(micros(from.stoppedAt));
        to.set_cpu_user_us(micros(from.cpuUser));
        to.set_cpu_system_us(micros(from.cpuSystem));
        to.set_max_rss_bytes(from.maxRssBytes);
        to.set_log_bytes(from.logBytes);
        to.set_log_truncated(from.logTruncated);
        for (const NixOutput& output : from.outputs)
            encodeOutput(output, *to.add_outputs());
        to.set_cached(from.cached);
        to.set_nix_status(from.nixStatus);
        to.set_core_dumped(from.coreDumped);
        to.set_is_final(from.isFinal);
        to.set_copied_us(micros(from.effort.copied));
        to.set_rounds(from.effort.rounds);
        to.set_is_nondeterministic(from.effort.isNondeterministic);
        if (from.results != NixResults{})
            encodeResults(from.results, *to.mutable_nix_results());
    }
    void operator()(const LogChunk& from) const
    {
        link::LogChunk& to = *out.mutable_log();
        to.set_attempt_id(from.attempt.value());
        to.set_offset(from.offset);
        to.mutable_records()->Reserve(static_cast<int>(from.records.size()));
        for (const LogRecord& entry : from.records) {
            link::LogRecord& record = *to.add_records();
            record.set_time_us(micros(entry.time));
            record.set_stream(wire(entry.stream));
            record.set_data(entry.data);
        }
    }
    void operator()(const AttemptProgress& from) const
    {
        link::AttemptProgress& to = *out.mutable_progress();
        to.set_attempt_id(from.attempt.value());
        to.set_phase(toValidUtf8(from.phase));
        to.set_started_at_us(micros(from.startedAt));
    }
    void operator()(const Drain& from) const
    {
        link::Drain& to = *out.mutable_drain();
        to.set_draining(from.draining);
        to.set_note(toValidUtf8(from.note));
    }
    void operator()(const Goodbye& from) const { encodeGoodbye(from, *out.mutable_goodbye()); }
    void operator()(const MachineFacts& from) const { fill(*out.mutable_facts(), from); }
};

} // namespace

void encodeOutput(const NixOutput& from, link::NixOutput& to)
{
    to.set_name(from.name);
    to.set_path(from.path);
    to.set_nar_hash(from.narHash);
    to.set_nar_size(from.narSize);
}

void encode(const BuilderMessage& from, link::BuilderMessage& to)
{
    std::visit(BuilderEncoder{to}, from);
}

} // namespace penstock::protocol::detail
