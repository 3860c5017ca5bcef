// SPDX-License-Identifier: GPL-3.0-or-later
// Which PostgreSQL servers are installed, and which of them fits a data directory. Blocks (files, one short process
// for each directory of the search path that has a server).
#pragma once

#include "server/postgres_cluster/cluster.h"

#include <filesystem>
#include <optional>
#include <vector>

namespace penstock::postgres_cluster {

struct Installation {
    int major; // 15
    std::filesystem::path programs; // directory with postgres and initdb
};

// Newest first.
[[nodiscard]] std::vector<Installation> findInstallations(const ClusterOptions& options);

// "postgres (PostgreSQL) 15.20 (Debian …)" → 15
[[nodiscard]] std::optional<int> parseVersion(std::string_view text);

// The newest for a new cluster; else the one of the data directory's major version. NotFound or Invalid with the way
// out.
[[nodiscard]] Result<Installation> chooseInstallation(const ClusterOptions& options,
                                                      const std::filesystem::path& database);

} // namespace penstock::postgres_cluster
