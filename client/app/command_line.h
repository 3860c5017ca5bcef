// SPDX-License-Identifier: GPL-3.0-or-later
// The program's command line from the command table: global flags, the words after `run`, and help. Pure but
// for config files that config::parse reads. Invalid for what the user got wrong.
#pragma once

#include "client/app/command.h"
#include "shared/config/options.h"

#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace penstock::client {

[[nodiscard]] config::ProgramSpec programSpec(const CommandTable& commands,
                                              const config::Environment& environment);

// The words of a command line, with those after `run [OPTIONS]` (or after its --) set apart: they belong to
// the job and may look like anything.
struct SplitLine {
    std::vector<std::string> own;
    std::vector<std::string> job;
    std::string command; // first word that is not a flag, known or not; may be empty
    bool wantsHelp = false;
};
[[nodiscard]] SplitLine splitLine(const config::ProgramSpec& program, std::span<const std::string> arguments);

struct Parsed {
    config::Values values;
    const Command* command = nullptr;
};
struct Answered {
    std::string text; // for standard output
};
[[nodiscard]] Result<std::variant<Parsed, Answered>> parseLine(const CommandTable& commands,
                                                               std::span<const std::string> arguments,
                                                               const config::Environment& environment);

// The page of one command, or of the program when the name is empty or unknown.
[[nodiscard]] std::string helpText(const CommandTable& commands, const config::ProgramSpec& program,
                                   std::string_view command);

} // namespace penstock::client
