// SPDX-License-Identifier: GPL-3.0-or-later
// Starts one process cheaply: a child that shares our memory until it executes (vfork), in a session and process group
// of its own, that dies with the calling thread. Blocking for some tens of microseconds; callable from any thread that
// lives as long as the process shall.
#pragma once

#include "shared/base/result.h"

#include <map>
#include <string>
#include <vector>

namespace penstock::exec {

struct SpawnSpec {
    std::string program;                   // path, found by findProgram
    std::vector<std::string> arguments;    // with the name in front
    std::vector<std::string> environment;  // "K=V"
    std::string directory;
    int standardOutput = -1;               // descriptors of ours, copied to 1 and 2
    int standardError = -1;
};

struct Spawned {
    int pid = -1;   // also its process group and session
    int pidfd = -1; // readable when it has ended; the caller closes it
};

// NotFound or Denied with the system's text when the program cannot be executed; Unavailable when the machine has no
// room for another process.
[[nodiscard]] Result<Spawned> spawn(const SpawnSpec& spec);

// The file that a shell would run for this name with this PATH. NotFound, Denied (not executable).
[[nodiscard]] Result<std::string> findProgram(const std::string& name, std::string_view path,
                                              const std::string& directory);

} // namespace penstock::exec
