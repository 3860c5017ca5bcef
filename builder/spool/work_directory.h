// SPDX-License-Identifier: GPL-3.0-or-later
// The builder's directory: identity (32 hex digits, made once), lock, journal, attempts/ and logs/. open() makes what
// is missing and takes the lock, which the kernel releases with the process, however that ends. Used at start-up.
// Conflict: another builder works here. Denied, Unavailable: the directory cannot be used; the text says why.
#pragma once

#include "builder/spool/file_handle.h"
#include "shared/base/result.h"

#include <string>

namespace penstock::builder {

class WorkDirectory {
public:
    [[nodiscard]] static Result<WorkDirectory> open(const std::string& path);

    [[nodiscard]] const std::string& path() const { return m_path; } // absolute
    [[nodiscard]] const std::string& identity() const { return m_identity; }
    [[nodiscard]] std::string attemptsPath() const { return m_path + "/attempts"; }
    [[nodiscard]] std::string logsPath() const { return m_path + "/logs"; }
    [[nodiscard]] std::string journalPath() const { return m_path + "/journal"; }

private:
    WorkDirectory(std::string path, std::string identity, FileHandle lock);

    std::string m_path;
    std::string m_identity;
    FileHandle m_lock;
};

// 32 lower-case hex digits from the kernel's random source.
[[nodiscard]] Result<std::string> randomHexId();
// The whole file is written beside, synced and renamed into place.
[[nodiscard]] Result<void> writeFileAtomically(const std::string& path, const std::string& text);

} // namespace penstock::builder
