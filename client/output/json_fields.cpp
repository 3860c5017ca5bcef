// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/output/json_fields.h"

#include "client/output/human_text.h"

#include <fmt/format.h>
#include <QJsonArray>

namespace penstock::client {

namespace {

QJsonValue valueOf(const QJsonObject& object, const char* key)
{
    return object.value(QLatin1String(key));
}

std::string textOfValue(const QJsonValue& value)
{
    switch (value.type()) {
    case QJsonValue::String: return value.toString().toStdString();
    case QJsonValue::Bool: return value.toBool() ? "yes" : "no";
    case QJsonValue::Double: {
        const auto number = value.toDouble();
        const auto whole = value.toInteger(INT64_MIN);
        return whole != INT64_MIN ? std::to_string(whole) : fmt::format("{:.2f}", number);
    }
    case QJsonValue::Null:
    case QJsonValue::Undefined:
    case QJsonValue::Array:
    case QJsonValue::Object: break;
    }
    return {};
}

} // namespace

std::string textField(const QJsonObject& object, const char* key)
{
    return textOfValue(valueOf(object, key));
}

std::int64_t numberField(const QJsonObject& object, const char* key)
{
    const auto value = valueOf(object, key);
    // toInteger() gives its default for 9.3; seconds come with a fraction.
    return value.toInteger(static_cast<qint64>(value.toDouble()));
}

bool hasField(const QJsonObject& object, const char* key)
{
    const auto value = valueOf(object, key);
    return !value.isUndefined() && !value.isNull();
}

std::optional<WallTime> timeField(const QJsonObject& object, const char* key)
{
    return parseRfc3339(textField(object, key));
}

std::string listField(const QJsonObject& object, const char* key)
{
    std::string out;
    const auto items = arrayField(object, key);
    for (const auto& item : items)
        out += (out.empty() ? "" : ", ") + textOfValue(item);
    return out;
}

QJsonObject objectField(const QJsonObject& object, const char* key)
{
    return valueOf(object, key).toObject();
}

QJsonArray arrayField(const QJsonObject& object, const char* key)
{
    return valueOf(object, key).toArray();
}

std::string ageField(const QJsonObject& object, const char* key, WallTime now)
{
    const auto time = timeField(object, key);
    return time ? humanDuration(now - *time) : std::string();
}

std::string spanField(const QJsonObject& object, const char* from, const char* to, WallTime now)
{
    const auto begin = timeField(object, from);
    if (!begin)
        return {};
    return humanDuration(timeField(object, to).value_or(now) - *begin);
}

std::string endingOf(const QJsonObject& object)
{
    std::string out;
    if (numberField(object, "signal") != 0)
        out = fmt::format("signal {}", numberField(object, "signal"));
    else if (numberField(object, "exit_code") != 0)
        out = fmt::format("exit code {}", numberField(object, "exit_code"));
    const auto error = textField(object, "error");
    if (!error.empty())
        out += (out.empty() ? "" : ": ") + error;
    return out;
}

} // namespace penstock::client
