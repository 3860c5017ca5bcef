// SPDX-License-Identifier: GPL-3.0-or-later
// The manual page penstock(1) in roff's man macros, made from the command table; packaging/man/penstock.1 is
// its output, and a test keeps the two equal. Pure; never fails.
#pragma once

#include "client/app/command.h"

#include <string>

namespace penstock::client {

[[nodiscard]] std::string manualPage(const CommandTable& commands, const config::ProgramSpec& program);

} // namespace penstock::client
