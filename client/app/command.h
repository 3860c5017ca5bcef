// SPDX-License-Identifier: GPL-3.0-or-later
// One command of the program: its flags, its help and what it does. The table of all of them is what the
// command line, --help, the completions and the manual page are made from. Plain values.
#pragma once

#include "client/app/invocation.h"
#include "shared/config/option_spec.h"
#include "shared/config/values.h"

#include <string>
#include <vector>

namespace penstock::client {

struct Command {
    config::CommandSpec spec;
    std::string details{};               // paragraphs after the first line, for --help and the manual
    std::vector<std::string> examples{}; // command lines
    // Returns the exit code. Null: done before a server is needed (help, completion).
    int (*execute)(Invocation&, const config::Values&) = nullptr;
};

using CommandTable = std::vector<Command>;

} // namespace penstock::client
