// SPDX-License-Identifier: GPL-3.0-or-later
// LockFile: <data>/queue-runner/lock, by which Hydra's queue runners keep each other out. Held, by both kinds of
// advisory locks that are in use for it (flock and fcntl), until this is destroyed or the process ends. Never removed:
// who waits for it would wait for a file that nobody else sees. No other part of the process may open the file, as
// closing it would give up a lock.
#pragma once

#include "shared/base/result.h"

#include <string>

namespace penstock::hydra {

class LockFile {
public:
    // Makes the folder and the file when they are missing. Conflict: another process has it; names the file, the
    // process where that is known, and what to do. Internal: it cannot be made or locked.
    [[nodiscard]] static Result<LockFile> take(const std::string& dataDir);
    ~LockFile();
    LockFile(LockFile&& other) noexcept;
    LockFile& operator=(LockFile&& other) noexcept;

    [[nodiscard]] const std::string& path() const { return m_path; }

private:
    LockFile(std::string path, int descriptor);

    std::string m_path;
    int m_descriptor;
};

} // namespace penstock::hydra
