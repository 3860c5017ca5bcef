// SPDX-License-Identifier: GPL-3.0-or-later
// Starts the programs of PostgreSQL: in a session of their own, with a clean environment, closed descriptors and, when
// we are root, as another user. Callable from any thread; the death signal follows the thread that called spawn().
#pragma once

#include "server/postgres_cluster/detail/file_descriptor.h"
#include "shared/base/result.h"

#include <chrono>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

namespace penstock::postgres_cluster {

struct Account {
    uid_t uid;
    gid_t gid;
    std::string name;
};

struct Program {
    std::vector<std::string> argv; // argv[0] is the path
    std::string workingDirectory = "/";
    std::optional<Account> account = {}; // to become; only as root
    int deathSignal = 0;                 // sent when the calling thread ends; 0: none
};

struct Child {
    pid_t pid;
    FileDescriptor pidDescriptor; // readable when it has ended
    FileDescriptor output;        // both its streams
};

[[nodiscard]] Result<Child> spawn(const Program& program);

// Readable when the process has ended; not open when there is none. (glibc 2.36 declares pidfd_open without extern
// "C".)
[[nodiscard]] FileDescriptor watchProcess(pid_t pid);

struct Outcome {
    int status; // of waitpid
    std::string output; // at most the last 16 KiB
};
// Runs it to its end; kills it after the limit (Timeout).
[[nodiscard]] Result<Outcome> runToEnd(const Program& program, std::chrono::seconds limit);

// "exit code 1", "signal 9 (Killed)"
[[nodiscard]] std::string describeStatus(int status);
[[nodiscard]] std::string errorText(int code); // of errno

} // namespace penstock::postgres_cluster
