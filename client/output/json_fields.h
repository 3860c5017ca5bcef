// SPDX-License-Identifier: GPL-3.0-or-later
// Reading a record's fields for display: a missing, null or oddly typed value is shown as nothing, never
// refused, since a newer server may know more than this client. Pure, callable from any thread.
#pragma once

#include "client/output/table.h"
#include "shared/base/clock.h"

#include <optional>
#include <QJsonObject>
#include <string>

namespace penstock::client {

// Text, number or boolean as text; "" for null and missing.
[[nodiscard]] std::string textField(const QJsonObject& object, const char* key);
[[nodiscard]] std::int64_t numberField(const QJsonObject& object, const char* key);
[[nodiscard]] bool hasField(const QJsonObject& object, const char* key);
[[nodiscard]] std::optional<WallTime> timeField(const QJsonObject& object, const char* key);
// "a, b, c" of an array of texts.
[[nodiscard]] std::string listField(const QJsonObject& object, const char* key);
[[nodiscard]] QJsonObject objectField(const QJsonObject& object, const char* key);
[[nodiscard]] QJsonArray arrayField(const QJsonObject& object, const char* key);

// "5m" since that time, or "".
[[nodiscard]] std::string ageField(const QJsonObject& object, const char* key, WallTime now);
// From one time to another or to now; "" before the first.
[[nodiscard]] std::string spanField(const QJsonObject& object, const char* from, const char* to,
                                    WallTime now);
// "exit code 3", "signal 9", the error, or "".
[[nodiscard]] std::string endingOf(const QJsonObject& object);

} // namespace penstock::client
