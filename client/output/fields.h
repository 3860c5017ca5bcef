// SPDX-License-Identifier: GPL-3.0-or-later
// The lines of a record's page: what is missing or empty gets none. Pure, callable from any thread.
#pragma once

#include "client/output/table.h"
#include "shared/base/clock.h"

#include <cstdint>
#include <QJsonObject>
#include <string>
#include <utility>
#include <vector>

namespace penstock::client {

using Fields = std::vector<std::pair<std::string, Cell>>;

void addText(Fields& fields, const QJsonObject& object, const char* key, const std::string& title);
void addList(Fields& fields, const QJsonObject& object, const char* key, const std::string& title);
// "2026-11-21T06:00:00Z (10m ago)"
void addTime(Fields& fields, const QJsonObject& object, const char* key, const std::string& title, WallTime now);

[[nodiscard]] std::uint64_t bytesField(const QJsonObject& object, const char* key);
[[nodiscard]] double fractionField(const QJsonObject& object, const char* key);

} // namespace penstock::client
