// SPDX-License-Identifier: GPL-3.0-or-later
// A real PostgreSQL for tests: one private cluster for each test program, made at first use in a temporary directory
// on a Unix socket and removed at the end. A machine without PostgreSQL fails these tests; nothing is skipped.
#pragma once

#include "server/postgres_cluster/cluster.h"

#include <filesystem>
#include <string>

namespace penstock::test {

// Collects nothing, prints warnings and errors when PENSTOCK_TEST_LOG is set in the environment.
[[nodiscard]] Logger& testLogger();

enum class Place {
    Memory, // a file system in memory when there is room: no waiting for a busy disk
    Disk,
};

// An empty directory with a unique name, removed with all it holds. Others may enter it (mode 0711).
class TemporaryDirectory {
public:
    explicit TemporaryDirectory(Place place = Place::Memory);
    ~TemporaryDirectory();
    TemporaryDirectory(const TemporaryDirectory&) = delete;
    TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
    [[nodiscard]] const std::filesystem::path& path() const { return m_path; }

private:
    std::filesystem::path m_path;
};

struct TestCluster {
    TemporaryDirectory directory = TemporaryDirectory(Place::Memory);
    std::unique_ptr<postgres_cluster::Cluster> cluster = nullptr;

    // The pid of its postmaster, from postmaster.pid; ends the test program when there is none.
    [[nodiscard]] int postmaster() const;
};

// The program's own cluster, placed by the first call; ends the program with a message when it cannot be started.
[[nodiscard]] TestCluster& sharedCluster(Place place = Place::Memory);

// The connection string of a new empty database in it, for one test.
[[nodiscard]] std::string newDatabase();

} // namespace penstock::test
