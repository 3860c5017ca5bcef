// SPDX-License-Identifier: GPL-3.0-or-later
// The directory of a cluster: who owns it, who works in it, and where its parts lie. Blocks (files).
//
//   lock                    held (flock) by the one penstock-server that uses the directory; names its pid
//   data/                   the database, owned by the account that PostgreSQL runs as
//   data.new/               an initdb that has not ended; removed at the next start
//   socket/                 the Unix socket; elsewhere when the name would be too long
//   postgresql.conf …       written at every start, owned by us
//   postgres.log            its last words; bounded
#pragma once

#include "server/postgres_cluster/cluster.h"
#include "server/postgres_cluster/detail/child_process.h"

#include <filesystem>
#include <optional>

namespace penstock::postgres_cluster {

class DirectoryLock {
public:
    explicit DirectoryLock(FileDescriptor file) : m_file(std::move(file)) {}

private:
    FileDescriptor m_file; // closing it gives the lock back
};

struct Layout {
    std::filesystem::path directory;
    std::filesystem::path database;
    std::filesystem::path unfinished;
    std::filesystem::path socketDirectory;
    std::optional<Account> account; // to run as; nothing: as ourselves
};

// Makes the directory when it is missing. Conflict names the pid of the server that has it.
[[nodiscard]] Result<std::unique_ptr<DirectoryLock>> lockDirectory(const std::filesystem::path& directory);

// Chooses account and socket directory, and checks that the account can get there.
[[nodiscard]] Result<Layout> prepareLayout(const ClusterOptions& options);

// Makes it (mode 0700, owned by the account) or checks that it is so already.
[[nodiscard]] Result<void> makePrivateDirectory(const std::filesystem::path& path,
                                                const std::optional<Account>& account);
[[nodiscard]] Result<void> writeFile(const std::filesystem::path& path, std::string_view text);

// A socket's whole name is at most 107 bytes (sun_path of sockaddr_un).
[[nodiscard]] bool isShortEnough(const std::filesystem::path& socketDirectory);

} // namespace penstock::postgres_cluster
