// SPDX-License-Identifier: GPL-3.0-or-later
// JSON as text: strings escaped, values printed in the order they were read. Pure, callable from any thread.
#pragma once

#include "shared/nix/json.h"

#include <string>
#include <string_view>

namespace penstock::jobs {

// Appends text in quotes; ill-formed UTF-8 becomes U+FFFD.
void appendJsonString(std::string& out, std::string_view text);
[[nodiscard]] std::string renderJson(const nix::JsonValue& value);

} // namespace penstock::jobs
