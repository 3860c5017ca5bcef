// SPDX-License-Identifier: GPL-3.0-or-later
// Starts one process of an attempt: own session and process group, standard input from /dev/null, output and errors
// on two pipes, a given environment and directory, killed by the kernel when the calling thread's process dies.
// Made by clone(CLONE_VM | CLONE_VFORK | CLONE_PIDFD): as cheap as posix_spawn, which cannot do all of that.
// Call on one thread only, that lives as long as the program (the kernel ties the death signal to it).
#pragma once

#include "builder/exec/exec_loop.h"
#include "shared/base/result.h"

#include <string>
#include <sys/types.h>
#include <vector>

namespace penstock::builder {

struct ChildSpec {
    std::string program; // a path; see findProgram
    std::vector<std::string> argv;
    std::vector<std::string> environment; // NAME=value
    std::string directory;
};

struct ChildProcess {
    pid_t pid; // also its process group and session
    FileHandle pidfd;
    FileHandle out; // read ends, non-blocking
    FileHandle err;
};

// Denied or NotFound: the job's own mistake (no such program, not executable). Unavailable: this machine is short of
// processes, memory or descriptors.
[[nodiscard]] Result<ChildProcess> startChild(const ChildSpec& spec);

// The program's path by the given PATH, as execvp would find it. A name with a slash is given back, relative
// ones against the directory.
[[nodiscard]] Result<std::string> findProgram(const std::string& name, const std::string& path,
                                              const std::string& directory);

} // namespace penstock::builder
