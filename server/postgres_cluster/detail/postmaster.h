// SPDX-License-Identifier: GPL-3.0-or-later
// What postmaster.pid and /proc tell about the servers of a database directory, and the end of those that a killed
// penstock-server left behind. Blocks. Only for the holder of the directory's lock: so whatever runs there is a
// leftover.
#pragma once

#include "shared/base/result.h"

#include <chrono>
#include <filesystem>
#include <optional>
#include <string_view>
#include <sys/types.h>
#include <vector>

namespace penstock::postgres_cluster {

struct PostmasterFile {
    pid_t pid;
    bool isReady; // accepts connections
};
[[nodiscard]] std::optional<PostmasterFile> parsePostmasterFile(std::string_view text);
[[nodiscard]] std::optional<PostmasterFile> readPostmasterFile(const std::filesystem::path& database);

// Processes of PostgreSQL whose working directory is the database's: the postmaster and its children.
[[nodiscard]] std::vector<pid_t> findServers(const std::filesystem::path& database);

// Stops them (politely, then at once, then by force) and removes lock files that nobody holds any more.
[[nodiscard]] Result<void> endLeftovers(const std::filesystem::path& database,
                                        const std::filesystem::path& socketDirectory, std::chrono::seconds limit);

} // namespace penstock::postgres_cluster
