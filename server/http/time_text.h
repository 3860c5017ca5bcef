// SPDX-License-Identifier: GPL-3.0-or-later
// Times as the JSON of both interfaces writes them, beside base's formatRfc3339. Pure.
#pragma once

#include "shared/base/clock.h"
#include "shared/base/result.h"

#include <string>
#include <string_view>

namespace penstock::http {

// "2027-01-31", "2027-01-31T12:00:00Z", with an optional fraction. Invalid otherwise, also with another zone.
[[nodiscard]] Result<WallTime> parseRfc3339(std::string_view text);
// "2026-11-21T06:17:16.250000": ISO 8601 in UTC without a zone, as hydra-jobs writes it.
[[nodiscard]] std::string formatPlainIso(WallTime at);

} // namespace penstock::http
