// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/log/line_format.h"

#include "shared/base/text.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <fmt/format.h>

namespace penstock::log {
namespace {

constexpr std::string_view kRedacted = "[redacted]";

void appendEscaped(std::string& out, std::string_view text)
{
    out.push_back('"');
    for (const char c : text) {
        switch (c) {
        case '"': out.append("\\\""); break;
        case '\\': out.append("\\\\"); break;
        case '\n': out.append("\\n"); break;
        case '\r': out.append("\\r"); break;
        case '\t': out.append("\\t"); break;
        default:
            if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F)
                out.append(fmt::format("\\u{:04x}", static_cast<unsigned>(static_cast<unsigned char>(c))));
            else
                out.push_back(c);
        }
    }
    out.push_back('"');
}

std::string shown(const LogField& field, const std::string& value)
{
    std::string text = redacted(field.key, value);
    const std::size_t size = text.size();
    if (size > kMaxFieldBytes) {
        text.resize(kMaxFieldBytes);
        text.append(fmt::format("… (+{} bytes)", size - kMaxFieldBytes));
    }
    return toValidUtf8(text);
}

bool isPlainWord(std::string_view text)
{
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
        const auto byte = static_cast<unsigned char>(c);
        return byte > 0x20 && byte < 0x7F && c != '"' && c != '=' && c != '\\';
    });
}

void appendNumber(std::string& out, const LogField& field)
{
    if (const auto* whole = std::get_if<std::int64_t>(&field.value))
        out.append(fmt::format("{}", *whole));
    else if (const auto* flag = std::get_if<bool>(&field.value))
        out.append(*flag ? "true" : "false");
    else if (const auto* real = std::get_if<double>(&field.value))
        out.append(std::isfinite(*real) ? fmt::format("{}", *real) : "null"); // JSON has no other word for it
}

void appendPairs(std::string& line, const LogRecord& record)
{
    line.append(toValidUtf8(record.event));
    for (const LogField& field : record.fields) {
        line.append(fmt::format(" {}=", field.key));
        if (const auto* value = std::get_if<std::string>(&field.value)) {
            const std::string text = shown(field, *value);
            if (isPlainWord(text))
                line.append(text);
            else
                appendEscaped(line, text);
        } else {
            appendNumber(line, field);
        }
    }
    if (record.suppressed > 0)
        line.append(fmt::format(" suppressed={}", record.suppressed));
    line.push_back('\n');
}

// Field names that the line itself uses get a prefix, so that no key appears twice.
std::string jsonKey(std::string_view key)
{
    constexpr std::array<std::string_view, 4> kOwn{"time", "level", "event", "suppressed"};
    const bool taken = std::find(kOwn.begin(), kOwn.end(), key) != kOwn.end();
    return taken ? fmt::format("field_{}", key) : std::string(key);
}

std::string formatJson(const LogRecord& record)
{
    std::string line = fmt::format(R"({{"time":"{}","level":"{}","event":)", formatRfc3339(record.at),
                                   toString(record.level));
    appendEscaped(line, toValidUtf8(record.event));
    for (const LogField& field : record.fields) {
        line.push_back(',');
        appendEscaped(line, jsonKey(field.key));
        line.push_back(':');
        if (const auto* value = std::get_if<std::string>(&field.value))
            appendEscaped(line, shown(field, *value));
        else
            appendNumber(line, field);
    }
    if (record.suppressed > 0)
        line.append(fmt::format(",\"suppressed\":{}", record.suppressed));
    line.append("}\n");
    return line;
}

// syslog(3) priorities, which sd-daemon(3) prefixes use.
int journalPriority(LogLevel level)
{
    switch (level) {
    case LogLevel::Debug: return 7;
    case LogLevel::Info: return 6;
    case LogLevel::Warning: return 4;
    case LogLevel::Error: return 3;
    }
    return 3;
}

void blankUrlPassword(std::string& text)
{
    for (std::size_t at = text.find("://"); at != std::string::npos; at = text.find("://", at + 3)) {
        const std::size_t start = at + 3;
        const std::size_t end = std::min(text.find_first_of("/?# \t\n", start), text.size());
        const std::size_t sign = text.rfind('@', end);
        if (sign == std::string::npos || sign < start || sign >= end)
            continue;
        const std::size_t colon = text.find(':', start);
        if (colon < sign)
            text.replace(colon + 1, sign - colon - 1, kRedacted);
    }
}

void blankPasswordPart(std::string& text)
{
    constexpr std::string_view kPart = "password=";
    for (std::size_t at = text.find(kPart); at != std::string::npos; at = text.find(kPart, at)) {
        at += kPart.size();
        std::size_t end = at;
        if (end < text.size() && text[end] == '\'') // libpq quotes a value with spaces
            end = std::min(text.find('\'', end + 1), text.size() - 1) + 1;
        else
            end = std::min(text.find_first_of(" \t\n&", at), text.size());
        text.replace(at, end - at, kRedacted);
        at += kRedacted.size();
    }
}

} // namespace

std::string redacted(std::string_view key, std::string_view value)
{
    for (const std::string_view ending : {"token", "password", "secret"})
        if (key.ends_with(ending))
            return std::string(kRedacted);
    std::string text(value);
    blankUrlPassword(text);
    blankPasswordPart(text);
    return text;
}

std::string formatLine(LogFormat format, const LogRecord& record)
{
    if (format == LogFormat::Json)
        return formatJson(record);
    std::string line = format == LogFormat::Journal
                           ? fmt::format("<{}>", journalPriority(record.level))
                           : fmt::format("{} {} ", formatRfc3339(record.at), toString(record.level));
    appendPairs(line, record);
    return line;
}

std::string_view toString(LogLevel level)
{
    switch (level) {
    case LogLevel::Debug: return "debug";
    case LogLevel::Info: return "info";
    case LogLevel::Warning: return "warning";
    case LogLevel::Error: return "error";
    }
    return "error";
}

Result<LogLevel> parseLogLevel(std::string_view word)
{
    for (const LogLevel level : {LogLevel::Debug, LogLevel::Info, LogLevel::Warning, LogLevel::Error})
        if (toString(level) == word)
            return level;
    return fail(ErrorCode::Invalid,
                fmt::format("log level \"{}\" is not one of debug, info, warning, error", word));
}

Result<LogFormat> parseLogFormat(std::string_view word)
{
    if (word == "text")
        return LogFormat::Text;
    if (word == "json")
        return LogFormat::Json;
    if (word == "journal")
        return LogFormat::Journal;
    return fail(ErrorCode::Invalid, fmt::format("log format \"{}\" is not one of text, json, journal", word));
}

} // namespace penstock::log
