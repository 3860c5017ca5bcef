// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/commands/arguments.h"

#include "shared/base/text.h"

#include <fmt/format.h>
#include <QJsonDocument>
#include <QJsonObject>

namespace penstock::client {

Result<std::uint64_t> parseId(std::string_view what, std::string_view word)
{
    const auto id = parseUnsigned(word);
    if (!id || *id == 0 || *id > INT64_MAX)
        return fail(ErrorCode::Invalid, fmt::format("{} \"{}\" is not a number from 1 on", what, word));
    return *id;
}

Result<std::vector<std::uint64_t>> parseIds(std::string_view what, const std::vector<std::string>& words)
{
    std::vector<std::uint64_t> ids;
    for (const auto& word : words) {
        PENSTOCK_TRY(const auto id, parseId(what, word));
        ids.push_back(id);
    }
    return ids;
}

int usageError(Invocation& invocation, const Error& error)
{
    invocation.console().complain("penstock: " + printableLines(error.message));
    return kExitUsage;
}

std::string noteBody(const config::Values& values)
{
    const QJsonObject body{{QStringLiteral("note"), QString::fromStdString(values.text("note"))}};
    return QJsonDocument(body).toJson(QJsonDocument::Compact).toStdString();
}

Query& Query::add(std::string_view key, std::string_view value)
{
    if (value.empty())
        return *this;
    m_text += fmt::format("{}{}={}", m_first ? '?' : '&', key, percentEncode(value));
    m_first = false;
    return *this;
}

} // namespace penstock::client
