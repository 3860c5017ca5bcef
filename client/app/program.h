// SPDX-License-Identifier: GPL-3.0-or-later
// The whole program but its command table: reads the command line, sets up console and connection, runs the
// command. Called once from main; returns the exit code.
#pragma once

#include "client/app/command.h"

namespace penstock::client {

[[nodiscard]] int runProgram(const CommandTable& commands, int argc, char** argv);

} // namespace penstock::client
