// SPDX-License-Identifier: GPL-3.0-or-later
// From command line, environment and file to Values; the order of precedence is flag, environment, file,
// default. Called from main before any thread exists, and again on SIGHUP. Fails with Invalid (or NotFound
// for a missing config file), naming the flag, variable or file line, the value and the limit, and the
// nearest known word.
#pragma once

#include "shared/base/result.h"
#include "shared/config/option_spec.h"
#include "shared/config/values.h"

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <variant>

namespace penstock::config {

inline constexpr int kExitFine = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;

using Environment = std::map<std::string, std::string, std::less<>>;
[[nodiscard]] Environment processEnvironment();

// What --help or --version say, for standard output.
struct Answer {
    std::string text;
};
using Outcome = std::variant<Values, Answer>;

// arguments: without the program's name.
[[nodiscard]] Result<Outcome> parse(ProgramSpec program, std::span<const std::string> arguments,
                                    const Environment& environment);

// The same for main(): prints answers to standard output and errors to standard error, and then gives the
// exit code instead of values.
[[nodiscard]] std::variant<Values, int> parseOrExplain(ProgramSpec program, int argc,
                                                       const char* const* argv);

[[nodiscard]] std::string_view version(); // "0.1.0"

// "data-dir" → "PENSTOCK_DATA_DIR".
[[nodiscard]] std::string environmentName(std::string_view option);

} // namespace penstock::config
