// SPDX-License-Identifier: GPL-3.0-or-later
// Completion scripts for bash, zsh and fish, made from the command table. Pure. Invalid for another shell.
#pragma once

#include "shared/base/result.h"
#include "shared/config/option_spec.h"

#include <string>
#include <string_view>

namespace penstock::client {

[[nodiscard]] Result<std::string> completionScript(const config::ProgramSpec& program,
                                                   std::string_view shell);

} // namespace penstock::client
