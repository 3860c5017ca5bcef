// SPDX-License-Identifier: GPL-3.0-or-later
// Any bytes as text that PostgreSQL can hold, and back. Well-formed UTF-8 without NUL stays as it is; anything else
// becomes U+0001 "hex:" and its bytes in hex, so that it round-trips and still compares equal to itself. Pure.
#pragma once

#include "shared/base/result.h"

#include <string>
#include <string_view>

namespace penstock::store::postgres {

[[nodiscard]] std::string toColumnText(std::string_view bytes);
[[nodiscard]] Result<std::string> fromColumnText(std::string_view text);

} // namespace penstock::store::postgres
