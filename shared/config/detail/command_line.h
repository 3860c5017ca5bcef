// SPDX-License-Identifier: GPL-3.0-or-later
// Cuts a command line into option texts and arguments, by CLI11: the only file that knows it. Checks names
// and arity, not values. Fails with Invalid, naming the option and the nearest known one.
#pragma once

#include "shared/base/result.h"
#include "shared/config/option_spec.h"

#include <map>
#include <span>
#include <string>
#include <vector>

namespace penstock::config::detail {

struct CommandLine {
    bool help = false;
    bool version = false;
    std::string command{};
    std::map<std::string, std::vector<std::string>> options{}; // given ones only; flags as "true" or "false"
    std::map<std::string, std::vector<std::string>> arguments{};
};

[[nodiscard]] Result<CommandLine> readCommandLine(const ProgramSpec& program,
                                                  std::span<const std::string> arguments);

} // namespace penstock::config::detail
