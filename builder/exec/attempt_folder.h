// SPDX-License-Identifier: GPL-3.0-or-later
// The directories of one attempt: its own (working directory, HOME) and TMPDIR beside it. A pair that an
// attempt left as it got it is used again, because making and removing directories waits for the file
// system's journal: on a busy disk that costs more than the process (measured: 5 ms against 1 ms). Taking one
// is quick and happens on the exec loop; removing trees may take long and happens on the cleaner's thread.
#pragma once

#include "shared/base/result.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace penstock::builder {

struct AttemptFolder {
    std::string path;
    std::string temporary;
};

class FolderPool {
public:
    explicit FolderPool(std::string attemptsPath) : m_attemptsPath(std::move(attemptsPath)) {}

    // Both exist, are empty and belong to nobody else. Conflict: something is there already. Unavailable: the disk.
    [[nodiscard]] Result<AttemptFolder> take();
    // False: something was left in it or changed on it; the caller removes it, its name is not used again.
    [[nodiscard]] bool giveBack(const AttemptFolder& folder);
    // Removes those that are kept: nothing has run for a while.
    void removeKept();
    [[nodiscard]] bool keepsSome() const { return !m_kept.empty(); }

private:
    std::string m_attemptsPath;
    std::uint64_t m_next = 1;
    std::vector<AttemptFolder> m_kept; // at most kMaxKept
};

// Removes the whole tree and nothing outside it: symbolic links are removed, never followed; depth, modes of
// directories and number of entries do not matter. A missing tree is fine. Blocks.
[[nodiscard]] Result<void> removeTree(const std::string& path);

} // namespace penstock::builder
