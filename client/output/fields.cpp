// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/output/fields.h"

#include "client/output/json_fields.h"

#include <algorithm>
#include <fmt/format.h>

namespace penstock::client {

void addText(Fields& fields, const QJsonObject& object, const char* key, const std::string& title)
{
    if (const auto text = textField(object, key); !text.empty())
        fields.emplace_back(title, Cell{text});
}

void addList(Fields& fields, const QJsonObject& object, const char* key, const std::string& title)
{
    if (const auto text = listField(object, key); !text.empty())
        fields.emplace_back(title, Cell{text});
}

void addTime(Fields& fields, const QJsonObject& object, const char* key, const std::string& title,
             WallTime now)
{
    if (hasField(object, key))
        fields.emplace_back(
            title, Cell{fmt::format("{} ({} ago)", textField(object, key), ageField(object, key, now))});
}

std::uint64_t bytesField(const QJsonObject& object, const char* key)
{
    return static_cast<std::uint64_t>(std::max<std::int64_t>(numberField(object, key), 0));
}

double fractionField(const QJsonObject& object, const char* key)
{
    return object.value(QLatin1String(key)).toDouble();
}

} // namespace penstock::client
