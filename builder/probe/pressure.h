// SPDX-License-Identifier: GPL-3.0-or-later
// Pressure stall information (Linux PSI): one file of /proc/pressure. Pure; nothing when the text is none.
#pragma once

#include "shared/protocol/link_values.h"

#include <optional>
#include <string_view>

namespace penstock::builder {

// A file without the "full" line (cpu before Linux 5.13) has zeros there.
[[nodiscard]] std::optional<protocol::Pressure> parsePressure(std::string_view text);

} // namespace penstock::builder
