// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/http/json_writer.h"

#include "server/jobs/json_text.h"
#include "shared/base/text.h"

#include <fmt/format.h>

#include <cmath>

namespace penstock::http {

void JsonWriter::separate()
{
    if (m_comma)
        m_out.push_back(',');
}

void JsonWriter::open(char bracket)
{
    separate();
    m_out.push_back(bracket);
    m_comma = false;
}

void JsonWriter::close(char bracket)
{
    m_out.push_back(bracket);
    m_comma = true;
}

void JsonWriter::key(std::string_view name)
{
    separate();
    jobs::appendJsonString(m_out, name);
    m_out.push_back(':');
    m_comma = false;
}

void JsonWriter::value(std::string_view text)
{
    separate();
    jobs::appendJsonString(m_out, text);
    m_comma = true;
}

void JsonWriter::value(double number)
{
    raw(std::isfinite(number) ? fmt::format("{}", number) : "null");
}

void JsonWriter::raw(std::string_view json)
{
    separate();
    m_out += json;
    m_comma = true;
}

void JsonWriter::fieldTime(std::string_view name, std::optional<WallTime> at)
{
    if (at)
        field(name, std::string_view(formatRfc3339(*at)));
    else
        fieldNull(name);
}

void JsonWriter::fieldText(std::string_view name, std::string_view text)
{
    if (text.empty())
        fieldNull(name);
    else
        field(name, text);
}

void JsonWriter::fieldList(std::string_view name, std::span<const std::string> texts)
{
    key(name);
    beginArray();
    for (const auto& text : texts)
        value(std::string_view(text));
    endArray();
}

} // namespace penstock::http
