// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/protocol/detail/codec.h"
#include "shared/protocol/detail/decode_fields.h"
#include "shared/protocol/limits.h"

#include <algorithm>
#include <fmt/format.h>

namespace penstock::protocol::detail {
namespace {

Result<Welcome> decodeWelcome(const link::Welcome& from)
{
    FieldReader fields("welcome");
    Welcome to;
    to.protocol = from.protocol();
    if (to.protocol == 0)
        fields.refuse("protocol", "is 0, must be a version from 1 upwards");
    fields.names("features", from.features(), to.features);
    fields.id("machine_id", from.machine_id(), to.machine);
    fields.millis("heartbeat_ms", from.heartbeat_ms(), to.heartbeat);
    fields.millis("deadline_ms", from.deadline_ms(), to.deadline);
    fields.time("server_time_us", from.server_time_us(), to.serverTime);
    fields.name("server_version", from.server_version(), to.serverVersion);
    fields.name("server_name", from.server_name(), to.serverName);
    return fields.finish(std::move(to));
}

void readIds(FieldReader& fields, std::string_view field, const google::protobuf::RepeatedField<std::uint64_t>& from,
             std::vector<AttemptId>& to)
{
    const auto count = static_cast<std::size_t>(from.size());
    if (!fields.atMost(field, count, kMaxHeldAttempts))
        return;
    to.reserve(count);
    for (const std::uint64_t id : from)
        fields.id(field, id, to.emplace_back(AttemptId(0)));
}

// A name that may stand before '=' in an environment.
bool isVariableName(std::string_view name)
{
    return !name.empty() && name.find('=') == std::string_view::npos && name.find('\0') == std::string_view::npos;
}

void readCommand(FieldReader& fields, const link::CommandWork& from, CommandWork& to)
{
    const auto count = static_cast<std::size_t>(from.argv_size());
    if (count == 0 || from.argv(0).empty())
        return fields.refuse("command.argv", "names no program");
    if (!fields.atMost("command.argv", count, kMaxArguments) ||
        !fields.atMost("command.env", from.env().size(), kMaxEnvironment))
        return;
    std::size_t total = 0;
    to.argv.reserve(count);
    for (const std::string& argument : from.argv()) {
        fields.text("command.argv", argument, to.argv.emplace_back(), kMaxArgumentBytes);
        total += argument.size() + 1;
    }
    for (const auto& [name, value] : from.env()) {
        if (!isVariableName(name))
            return fields.refuse("command.env", fmt::format("has a variable name of {} bytes that is empty or "
                                                            "contains '=' or NUL",
                                                            name.size()));
        std::string text;
        fields.text("command.env", value, text, kMaxArgumentBytes);
        total += name.size() + value.size() + 2;
        to.env.emplace(name, std::move(text));
    }
    fields.atMost("command", total, kMaxCommandBytes);
}

void readNix(FieldReader& fields, const link::NixWork& from, NixWork& to)
{
    if (from.drv_path().empty())
        return fields.refuse("nix.drv_path", "is empty");
    fields.path("nix.drv_path", from.drv_path(), to.drvPath);
    if (fields.atMost("nix.drv", from.drv().size(), kMaxDrvBytes))
        to.drv = from.drv();
    fields.texts("nix.input_paths", from.input_paths(), to.inputPaths, kMaxInputPaths);
    fields.outputs("nix.outputs", from.outputs(), to.outputs);
    fields.text("nix.grant", from.grant(), to.grant, kMaxNameBytes);
    if (!fields.atMost("nix.resolved", static_cast<std::uint64_t>(from.resolved_size()), kMaxInputPaths))
        return;
    to.resolved.reserve(static_cast<std::size_t>(from.resolved_size()));
    for (const link::ResolvedInput& input : from.resolved()) {
        ResolvedInput& resolved = to.resolved.emplace_back();
        fields.path("nix.resolved.drv_path", input.drv_path(), resolved.drvPath);
        fields.requiredName("nix.resolved.output", input.output(), resolved.output);
        fields.path("nix.resolved.path", input.path(), resolved.path);
    }
}

void readLimits(FieldReader& fields, const link::Limits& from, Limits& to)
{
    fields.millis("limits.timeout_ms", from.timeout_ms(), to.timeout);
    fields.millis("limits.silent_timeout_ms", from.silent_timeout_ms(), to.silentTimeout);
    to.maxLogBytes = from.max_log_bytes();
    fields.millis("limits.kill_grace_ms", from.kill_grace_ms(), to.killGrace);
    to.maxOutputBytes = from.max_output_bytes();
    if (fields.atMost("limits.repeats", from.repeats(), kMaxRounds - 1))
        to.repeats = from.repeats();
}

// Goes to desired.assign, or to desired.bad when it makes no sense. Only an id that is none breaks the message.
void readAssignment(FieldReader& fields, const link::Assignment& from, Desired& desired)
{
    FieldReader inner("assignment");
    Assignment to;
    fields.id("assign.attempt_id", from.attempt_id(), to.attempt);
    inner.id("step_id", from.step_id(), to.step);
    inner.id("job_id", from.job_id(), to.job);
    to.attemptNumber = std::max(from.attempt_number(), 1U);
    inner.name("name", from.name(), to.name);
    readLimits(inner, from.limits(), to.limits);
    if (inner.atMost("cpus", from.cpus(), kMaxCores))
        to.cpus = from.cpus();
    to.memoryBytes = from.memory_bytes();
    inner.resources(from.resources(), to.resources);
    to.beyondSlots = from.beyond_slots();
    switch (from.work_case()) {
    case link::Assignment::kCommand: readCommand(inner, from.command(), to.work.emplace<CommandWork>()); break;
    case link::Assignment::kNix: readNix(inner, from.nix(), to.work.emplace<NixWork>()); break;
    case link::Assignment::WORK_NOT_SET:
        desired.bad.push_back({to.attempt, RejectReason::Unsupported,
                               "the kind of work is unknown to this version of the builder; upgrade it"});
        return;
    }
    if (inner.error())
        desired.bad.push_back({to.attempt, RejectReason::Invalid, inner.error()->message});
    else
        desired.assign.push_back(std::move(to));
}

Result<Desired> decodeDesired(const link::Desired& from)
{
    FieldReader fields("desired");
    Desired to;
    to.revision = from.revision();
    to.complete = from.complete();
    readIds(fields, "wanted", from.wanted(), to.wanted);
    if (fields.atMost("assign", static_cast<std::size_t>(from.assign_size()), kMaxAssignments)) {
        for (const link::Assignment& entry : from.assign())
            readAssignment(fields, entry, to);
    }
    if (fields.atMost("stop", static_cast<std::size_t>(from.stop_size()), kMaxHeldAttempts)) {
        for (const link::Stop& entry : from.stop()) {
            StopOrder& order = to.stop.emplace_back();
            fields.id("stop.attempt_id", entry.attempt_id(), order.attempt);
            fields.text("stop.reason", entry.reason(), order.reason, kMaxNoteBytes);
        }
    }
    to.draining = from.draining();
    return fields.finish(std::move(to));
}

Result<ResultStored> decodeStored(const link::ResultStored& from)
{
    FieldReader fields("stored");
    ResultStored to;
    readIds(fields, "attempt_ids", from.attempt_ids(), to.attempts);
    return fields.finish(std::move(to));
}

Result<LogStored> decodeLogStored(const link::LogStored& from)
{
    FieldReader fields("log_stored");
    LogStored to;
    fields.id("attempt_id", from.attempt_id(), to.attempt);
    to.offset = from.offset();
    to.stop = from.stop();
    return fields.finish(std::move(to));
}

Result<Heartbeat> decodeHeartbeat(const link::Heartbeat& from)
{
    FieldReader fields("heartbeat");
    Heartbeat to;
    to.sequence = from.sequence();
    fields.time("server_time_us", from.server_time_us(), to.serverTime);
    return fields.finish(std::move(to));
}

// A reason from a newer peer still ends the connection; its text says why.
GoodbyeReason goodbyeReason(link::GoodbyeReason from)
{
    switch (from) {
    case link::GOODBYE_STOPPING: return GoodbyeReason::Stopping;
    case link::GOODBYE_RESTARTING: return GoodbyeReason::Restarting;
    case link::GOODBYE_PROTOCOL_ERROR: return GoodbyeReason::ProtocolError;
    case link::GOODBYE_VERSION: return GoodbyeReason::Version;
    case link::GOODBYE_DENIED: return GoodbyeReason::Denied;
    case link::GOODBYE_IDENTITY_IN_USE: return GoodbyeReason::IdentityInUse;
    case link::GOODBYE_TIMEOUT: return GoodbyeReason::Timeout;
    case link::GOODBYE_REPLACED: return GoodbyeReason::Replaced;
    case link::GOODBYE_OVERLOADED: return GoodbyeReason::Overloaded;
    case link::GOODBYE_NOT_LEADER: return GoodbyeReason::NotLeader;
    default: return GoodbyeReason::Unspecified;
    }
}

template <class T> Result<std::optional<ServerMessage>> wrap(Result<T> value)
{
    if (!value)
        return fail(std::move(value).error());
    return std::optional<ServerMessage>(std::in_place, *std::move(value));
}

} // namespace

Result<Goodbye> decodeGoodbye(const link::Goodbye& from)
{
    FieldReader fields("goodbye");
    Goodbye to;
    to.reason = goodbyeReason(from.reason());
    fields.text("text", from.text(), to.text, kMaxNoteBytes);
    fields.millis("retry_after_ms", from.retry_after_ms(), to.retryAfter);
    return fields.finish(std::move(to));
}

Result<std::optional<ServerMessage>> decode(const link::ServerMessage& from)
{
    switch (from.kind_case()) {
    case link::ServerMessage::kWelcome: return wrap(decodeWelcome(from.welcome()));
    case link::ServerMessage::kDesired: return wrap(decodeDesired(from.desired()));
    case link::ServerMessage::kStored: return wrap(decodeStored(from.stored()));
    case link::ServerMessage::kLogStored: return wrap(decodeLogStored(from.log_stored()));
    case link::ServerMessage::kHeartbeat: return wrap(decodeHeartbeat(from.heartbeat()));
    case link::ServerMessage::kGoodbye: return wrap(decodeGoodbye(from.goodbye()));
    case link::ServerMessage::KIND_NOT_SET: break;
    }
    return std::optional<ServerMessage>();
}

} // namespace penstock::protocol::detail
