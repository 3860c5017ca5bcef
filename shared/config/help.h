// SPDX-License-Identifier: GPL-3.0-or-later
// The text of --help, rendered from the option table. Pure; never fails.
#pragma once

#include "shared/config/option_spec.h"

#include <string>
#include <string_view>

namespace penstock::config {

// command: empty for the program's own page.
[[nodiscard]] std::string renderHelp(const ProgramSpec& program, std::string_view command);

} // namespace penstock::config
