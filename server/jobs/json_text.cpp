// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/jobs/json_text.h"

#include "shared/base/text.h"

#include <fmt/format.h>

#include <iterator>

namespace penstock::jobs {
namespace {

void appendEscaped(std::string& out, std::string_view text)
{
    for (const char c : text) {
        switch (c) {
        case '"': out += "\\\""; break;
        case '\\': out += "\\\\"; break;
        case '\n': out += "\\n"; break;
        case '\r': out += "\\r"; break;
        case '\t': out += "\\t"; break;
        default:
            if (static_cast<unsigned char>(c) < 0x20)
                fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned>(c));
            else
                out.push_back(c);
        }
    }
}

void append(std::string& out, const nix::JsonValue& value);

void appendObject(std::string& out, const nix::JsonValue::Object& members)
{
    out.push_back('{');
    bool first = true;
    for (const auto& [key, member] : members) {
        if (!first)
            out.push_back(',');
        first = false;
        appendJsonString(out, key);
        out.push_back(':');
        append(out, member);
    }
    out.push_back('}');
}

void appendArray(std::string& out, const nix::JsonValue::Array& items)
{
    out.push_back('[');
    bool first = true;
    for (const auto& item : items) {
        if (!first)
            out.push_back(',');
        first = false;
        append(out, item);
    }
    out.push_back(']');
}

// Recursion is bounded by kMaxJsonNesting of the reader.
void append(std::string& out, const nix::JsonValue& value)
{
    if (const auto* text = value.asString())
        appendJsonString(out, *text);
    else if (const auto* number = value.asNumber())
        out += number->text;
    else if (const auto* flag = value.asBool())
        out += *flag ? "true" : "false";
    else if (const auto* object = value.asObject())
        appendObject(out, *object);
    else if (const auto* array = value.asArray())
        appendArray(out, *array);
    else
        out += "null";
}

} // namespace

void appendJsonString(std::string& out, std::string_view text)
{
    out.push_back('"');
    if (isUtf8(text))
        appendEscaped(out, text);
    else
        appendEscaped(out, toValidUtf8(text));
    out.push_back('"');
}

std::string renderJson(const nix::JsonValue& value)
{
    std::string out;
    append(out, value);
    return out;
}

} // namespace penstock::jobs
