// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/base/text.h"
#include "shared/protocol/detail/codec.h"

namespace penstock::protocol::detail {
namespace {

std::uint64_t micros(WallTime at)
{
    return static_cast<std::uint64_t>(std::max<std::int64_t>(at.micros(), 0));
}

template <class Number = std::uint64_t> Number millis(std::chrono::milliseconds span)
{
    return static_cast<Number>(std::max<std::int64_t>(span.count(), 0));
}

void encodeNix(const NixWork& from, link::NixWork& to)
{
    to.set_drv_path(from.drvPath);
    to.set_drv(from.drv);
    for (const std::string& path : from.inputPaths)
        to.add_input_paths(path);
    for (const NixOutput& output : from.outputs)
        encodeOutput(output, *to.add_outputs());
    to.set_grant(from.grant);
    for (const ResolvedInput& input : from.resolved) {
        link::ResolvedInput& resolved = *to.add_resolved();
        resolved.set_drv_path(input.drvPath);
        resolved.set_output(input.output);
        resolved.set_path(input.path);
    }
}

void fill(link::Assignment& to, const Assignment& from)
{
    to.set_attempt_id(from.attempt.value());
    to.set_step_id(from.step.value());
    to.set_job_id(from.job.value());
    to.set_attempt_number(from.attemptNumber);
    to.set_name(from.name);
    if (const auto* command = std::get_if<CommandWork>(&from.work)) {
        link::CommandWork& work = *to.mutable_command();
        for (const std::string& argument : command->argv)
            work.add_argv(argument);
        for (const auto& [name, value] : command->env)
            (*work.mutable_env())[name] = value;
    } else if (const auto* nix = std::get_if<NixWork>(&from.work)) {
        encodeNix(*nix, *to.mutable_nix());
    }
    link::Limits& limits = *to.mutable_limits();
    limits.set_timeout_ms(millis(from.limits.timeout));
    limits.set_silent_timeout_ms(millis(from.limits.silentTimeout));
    limits.set_max_log_bytes(from.limits.maxLogBytes);
    limits.set_kill_grace_ms(millis(from.limits.killGrace));
    limits.set_max_output_bytes(from.limits.maxOutputBytes);
    limits.set_repeats(from.limits.repeats);
    to.set_cpus(from.cpus);
    to.set_memory_bytes(from.memoryBytes);
    for (const auto& [name, amount] : from.resources)
        (*to.mutable_resources())[name] = amount;
    to.set_beyond_slots(from.beyondSlots);
}

struct ServerEncoder {
    link::ServerMessage& out;

    void operator()(const Welcome& from) const
    {
        link::Welcome& to = *out.mutable_welcome();
        to.set_protocol(from.protocol);
        for (const std::string& feature : from.features)
            to.add_features(feature);
        to.set_machine_id(from.machine.value());
        to.set_heartbeat_ms(millis<std::uint32_t>(from.heartbeat));
        to.set_deadline_ms(millis<std::uint32_t>(from.deadline));
        to.set_server_time_us(micros(from.serverTime));
        to.set_server_version(from.serverVersion);
        to.set_server_name(from.serverName);
    }
    void operator()(const Desired& from) const
    {
        link::Desired& to = *out.mutable_desired();
        to.set_revision(from.revision);
        to.set_complete(from.complete);
        to.mutable_wanted()->Reserve(static_cast<int>(from.wanted.size()));
        for (const AttemptId id : from.wanted)
            to.add_wanted(id.value());
        for (const Assignment& assignment : from.assign)
            fill(*to.add_assign(), assignment);
        for (const StopOrder& order : from.stop) {
            link::Stop& stop = *to.add_stop();
            stop.set_attempt_id(order.attempt.value());
            stop.set_reason(toValidUtf8(order.reason));
        }
        to.set_draining(from.draining);
    }
    void operator()(const ResultStored& from) const
    {
        link::ResultStored& to = *out.mutable_stored();
        for (const AttemptId id : from.attempts)
            to.add_attempt_ids(id.value());
    }
    void operator()(const LogStored& from) const
    {
        link::LogStored& to = *out.mutable_log_stored();
        to.set_attempt_id(from.attempt.value());
        to.set_offset(from.offset);
        to.set_stop(from.stop);
    }
    void operator()(const Heartbeat& from) const
    {
        link::Heartbeat& to = *out.mutable_heartbeat();
        to.set_sequence(from.sequence);
        to.set_server_time_us(micros(from.serverTime));
    }
    void operator()(const Goodbye& from) const { encodeGoodbye(from, *out.mutable_goodbye()); }
};

link::GoodbyeReason wire(GoodbyeReason reason)
{
    switch (reason) {
    case GoodbyeReason::Unspecified: return link::GOODBYE_UNSPECIFIED;
    case GoodbyeReason::Stopping: return link::GOODBYE_STOPPING;
    case GoodbyeReason::Restarting: return link::GOODBYE_RESTARTING;
    case GoodbyeReason::ProtocolError: return link::GOODBYE_PROTOCOL_ERROR;
    case GoodbyeReason::Version: return link::GOODBYE_VERSION;
    case GoodbyeReason::Denied: return link::GOODBYE_DENIED;
    case GoodbyeReason::IdentityInUse: return link::GOODBYE_IDENTITY_IN_USE;
    case GoodbyeReason::Timeout: return link::GOODBYE_TIMEOUT;
    case GoodbyeReason::Replaced: return link::GOODBYE_REPLACED;
    case GoodbyeReason::Overloaded: return link::GOODBYE_OVERLOADED;
    case GoodbyeReason::NotLeader: return link::GOODBYE_NOT_LEADER;
    }
    return link::GOODBYE_UNSPECIFIED;
}

} // namespace

void encodeGoodbye(const Goodbye& from, link::Goodbye& to)
{
    to.set_reason(wire(from.reason));
    to.set_text(toValidUtf8(from.text));
    to.set_retry_after_ms(millis(from.retryAfter));
}

void encode(const ServerMessage& from, link::ServerMessage& to)
{
    std::visit(ServerEncoder{to}, from);
}

} // namespace penstock::protocol::detail
