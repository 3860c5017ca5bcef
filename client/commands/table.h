// SPDX-License-Identifier: GPL-3.0-or-later
// All commands of the program, in the order of its help. One file per verb or small family of verbs.
#pragma once

#include "client/app/command.h"

namespace penstock::client {

[[nodiscard]] Command runCommand();
[[nodiscard]] Command submitCommand();
[[nodiscard]] Command buildCommand();
[[nodiscard]] Command jobsCommand();
[[nodiscard]] Command jobCommand();
[[nodiscard]] Command runsCommand();
[[nodiscard]] Command stepsCommand();
[[nodiscard]] Command logsCommand();
[[nodiscard]] Command cancelCommand();
[[nodiscard]] Command retryCommand();
[[nodiscard]] Command bumpCommand();
[[nodiscard]] Command holdCommand();
[[nodiscard]] Command releaseCommand();
[[nodiscard]] Command whyCommand();
[[nodiscard]] Command queueCommand();
[[nodiscard]] Command machinesCommand();
[[nodiscard]] Command machineCommand();
[[nodiscard]] Command machinesFileCommand();
[[nodiscard]] Command drainCommand();
[[nodiscard]] Command undrainCommand();
[[nodiscard]] Command pauseCommand();
[[nodiscard]] Command resumeCommand();
[[nodiscard]] Command namespaceCommand();
[[nodiscard]] Command statusCommand();
[[nodiscard]] Command tokenCommand();

[[nodiscard]] CommandTable commandTable();

} // namespace penstock::client
