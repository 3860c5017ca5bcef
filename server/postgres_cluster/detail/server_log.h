// SPDX-License-Identifier: GPL-3.0-or-later
// ServerLog: what the postmaster prints, in a file of bounded size (the former one is kept as .1), and its last words
// in memory for error messages. Belongs to the supervising thread. A full disk loses log lines, never the database.
#pragma once

#include "server/postgres_cluster/detail/file_descriptor.h"

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

namespace penstock::postgres_cluster {

class ServerLog {
public:
    ServerLog(std::filesystem::path path, std::size_t maxBytes) : m_path(std::move(path)), m_maxBytes(maxBytes) {}

    void append(std::string_view bytes);
    // The last lines, without time stamps' noise, on one line for a message.
    [[nodiscard]] std::string lastWords() const;
    void forgetWords() { m_last.clear(); }

private:
    void reopen();

    std::filesystem::path m_path;
    std::size_t m_maxBytes;
    std::size_t m_size = 0;
    FileDescriptor m_file;
    std::string m_last; // at most 2 KiB
};

} // namespace penstock::postgres_cluster
