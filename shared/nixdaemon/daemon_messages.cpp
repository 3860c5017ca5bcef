// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nixdaemon/daemon_messages.h"

#include "shared/base/text.h"

#include <utility>
#include <vector>

#include <fmt/format.h>

namespace penstock::nixdaemon {
namespace {

constexpr std::uint64_t kNext = 0x6f6c6d67;
constexpr std::uint64_t kLast = 0x616c7473;
constexpr std::uint64_t kRead = 0x64617461;
constexpr std::uint64_t kStartActivity = 0x53545254;
constexpr std::uint64_t kStopActivity = 0x53544f50;
constexpr std::uint64_t kResult = 0x52534c54;
constexpr std::uint64_t kResultLogLine = 101;
constexpr std::uint64_t kResultPhase = 104;
constexpr std::uint64_t kMaxFields = 1024;
constexpr std::uint64_t kMaxTraces = 10'000;
constexpr unsigned kStructuredErrors = 26; // protocol minor

tl::unexpected<Error> outOfStep(std::string_view what)
{
    return fail(ErrorCode::Corrupt, fmt::format("the nix-daemon's answer is out of step: {}", what));
}

Result<std::vector<ActivityField>> readFields(WireReader& reader)
{
    PENSTOCK_TRY(std::uint64_t left, reader.count());
    if (left > kMaxFields)
        return outOfStep(fmt::format("{} fields where at most {} are read", left, kMaxFields));
    std::vector<ActivityField> fields;
    for (; left > 0; --left) {
        PENSTOCK_TRY(const std::uint64_t tag, reader.number());
        if (tag == 0) {
            PENSTOCK_TRY(const std::uint64_t value, reader.number());
            fields.emplace_back(value);
        } else if (tag == 1) {
            PENSTOCK_TRY(std::string text, reader.string());
            fields.emplace_back(std::move(text));
        } else {
            return outOfStep(fmt::format("field tag {}", tag));
        }
    }
    return fields;
}

Result<void> readActivity(WireReader& reader, DaemonEvents& events)
{
    PENSTOCK_TRY(const std::uint64_t id, reader.number());
    PENSTOCK_TRY(const std::uint64_t level, reader.number());
    PENSTOCK_TRY(const std::uint64_t type, reader.number());
    PENSTOCK_TRY(std::string text, reader.string());
    PENSTOCK_TRY(std::vector<ActivityField> fields, readFields(reader));
    PENSTOCK_TRY(const std::uint64_t parent, reader.number());
    events.activityStarted(
        {id, level, static_cast<ActivityType>(type), stripAnsi(text), std::move(fields), parent});
    return {};
}

Result<void> readResult(WireReader& reader, DaemonEvents& events)
{
    PENSTOCK_TRY(const std::uint64_t id, reader.number());
    PENSTOCK_TRY(const std::uint64_t type, reader.number());
    PENSTOCK_TRY(const std::vector<ActivityField> fields, readFields(reader));
    const std::string* text = fields.empty() ? nullptr : std::get_if<std::string>(&fields.front());
    if (type == kResultLogLine && text != nullptr)
        events.logLine(id, *text);
    else if (type == kResultPhase && text != nullptr)
        events.phase(id, *text);
    return {};
}

Complaint makeComplaint(std::string_view message, std::uint64_t exitStatus)
{
    const std::string clean = stripAnsi(message);
    std::string_view text = trim(clean);
    if (text.starts_with("error:"))
        text = trim(text.substr(6));
    return {text.empty() ? std::string("an error without a text") : std::string(text), exitStatus};
}

// Length of the escape sequence at the front (which is ESC); the rest of the text when it has no end.
std::size_t escapeLength(std::string_view text)
{
    if (text.size() < 2)
        return text.size();
    if (text[1] == '[') {
        for (std::size_t i = 2; i < text.size(); ++i)
            if (text[i] >= '@' && text[i] <= '~')
                return i + 1;
        return text.size();
    }
    if (text[1] == ']') {
        for (std::size_t i = 2; i < text.size(); ++i) {
            if (text[i] == '\a')
                return i + 1;
            if (text[i] == '\x1b')
                return std::min(i + 2, text.size());
        }
        return text.size();
    }
    return 2;
}

} // namespace

std::string stripAnsi(std::string_view text)
{
    std::string clean;
    clean.reserve(text.size());
    for (std::size_t at = 0; at < text.size();) {
        const auto c = static_cast<unsigned char>(text[at]);
        if (c == 0x1B) {
            at += escapeLength(text.substr(at));
            continue;
        }
        if (c >= 0x20 ? c != 0x7F : (c == '\n' || c == '\t'))
            clean.push_back(text[at]);
        ++at;
    }
    return clean;
}

Result<Complaint> readComplaint(WireReader& reader, unsigned minor)
{
    if (minor < kStructuredErrors) {
        PENSTOCK_TRY(const std::string message, reader.string());
        PENSTOCK_TRY(const std::uint64_t status, reader.number());
        return makeComplaint(message, status);
    }
    PENSTOCK_TRY(const std::string kind, reader.string());
    if (kind != "Error")
        return outOfStep("an error of an unknown kind");
    PENSTOCK_TRY_VOID(reader.number()); // level
    PENSTOCK_TRY_VOID(reader.string()); // a former name
    PENSTOCK_TRY(const std::string message, reader.string());
    PENSTOCK_TRY(const std::uint64_t position, reader.number());
    PENSTOCK_TRY(std::uint64_t traces, reader.count());
    if (position != 0 || traces > kMaxTraces)
        return outOfStep("an error with a position or too many traces");
    for (; traces > 0; --traces) {
        PENSTOCK_TRY(const std::uint64_t tracePosition, reader.number());
        if (tracePosition != 0)
            return outOfStep("a trace with a position");
        PENSTOCK_TRY_VOID(reader.string());
    }
    return makeComplaint(message, 0);
}

Result<Message> readMessage(WireReader& reader, unsigned minor, DaemonEvents& events)
{
    PENSTOCK_TRY(const std::uint64_t kind, reader.number());
    switch (kind) {
    case kLast: return Done{};
    case kRead: return Wanted{};
    case kErrorMessage: {
        PENSTOCK_TRY(Complaint complaint, readComplaint(reader, minor));
        return complaint;
    }
    case kNext: {
        PENSTOCK_TRY(const std::string text, reader.string());
        const std::string clean = stripAnsi(text);
        events.message(trim(clean));
        break;
    }
    case kStartActivity: PENSTOCK_TRY_VOID(readActivity(reader, events)); break;
    case kStopActivity: {
        PENSTOCK_TRY(const std::uint64_t id, reader.number());
        events.activityStopped(id);
        break;
    }
    case kResult: PENSTOCK_TRY_VOID(readResult(reader, events)); break;
    default: return outOfStep(fmt::format("message number {:#x}", kind));
    }
    return Told{};
}

Result<std::optional<Complaint>> readMessages(WireReader& reader, unsigned minor, DaemonEvents& events)
{
    for (;;) {
        if (!reader.hasBuffered())
            events.idle();
        PENSTOCK_TRY(Message message, readMessage(reader, minor, events));
        if (auto* complaint = std::get_if<Complaint>(&message))
            return std::move(*complaint);
        if (std::holds_alternative<Done>(message))
            return std::nullopt;
        if (std::holds_alternative<Wanted>(message))
            return outOfStep("it wants data where none are sent");
    }
}

} // namespace penstock::nixdaemon
