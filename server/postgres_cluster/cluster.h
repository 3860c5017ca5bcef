// SPDX-License-Identifier: GPL-3.0-or-later
// Cluster: a private PostgreSQL of this server, in its own directory, reachable only through a Unix socket. start()
// makes it (first time), ends what a killed server left running, starts the postmaster and waits until it accepts
// connections; afterwards a thread of its own watches it and starts it again when it dies. The destructor stops it.
//
// As root it runs as the user that owns the database files: "postgres" where that exists, else "nobody".
// start() and stop() block and are for the main thread at start-up and shutdown; the rest is callable from any thread.
// Errors: Conflict (another server uses the directory), Invalid (the directory cannot be used as it is: the text says
// why and what to do), NotFound (no PostgreSQL is installed), Unavailable (it does not start; with its last words).
#pragma once

#include "shared/base/log.h"
#include "shared/base/result.h"

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

namespace penstock::postgres_cluster {

class Supervisor;
class DirectoryLock;

struct ClusterOptions {
    std::filesystem::path directory; // of this cluster alone; made when missing, its parent too
    // Where programs are looked for beside /usr/lib/postgresql/*/bin: colon-separated, as PATH is.
    std::string searchPath = {};
    // The socket goes into a private directory here when `directory` is too long for a socket's name (107 bytes).
    std::filesystem::path shortDirectory = "/tmp";
    std::filesystem::path versionsDirectory = "/usr/lib/postgresql";
    std::chrono::seconds startLimit{600}; // recovery after a crash may take a while
    std::chrono::seconds stopLimit{20};   // then it is stopped at once, and recovers at the next start
    // Each change, from the watching thread: the database went away (why), or accepts connections again.
    std::function<void(Result<void>)> onHealth = {};
};

class Cluster {
public:
    [[nodiscard]] static Result<std::unique_ptr<Cluster>> start(ClusterOptions options, Logger& logger);
    ~Cluster();
    Cluster(const Cluster&) = delete;
    Cluster& operator=(const Cluster&) = delete;

    // For libpq.
    [[nodiscard]] const std::string& connectionString() const { return m_connectionString; }

    // Fast shutdown: sessions are ended, everything is on disk. Once; the destructor does it otherwise.
    void stop();

private:
    Cluster(std::unique_ptr<DirectoryLock> lock, std::unique_ptr<Supervisor> supervisor, std::string connection);

    std::unique_ptr<DirectoryLock> m_lock;
    std::unique_ptr<Supervisor> m_supervisor;
    std::string m_connectionString;
};

} // namespace penstock::postgres_cluster
