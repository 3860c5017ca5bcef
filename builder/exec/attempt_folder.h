// SPDX-License-Identifier: GPL-3.0-or-later
// The directories of one attempt: its own (working directory, HOME) and TMPDIR beside it. Making them is quick and
// happens on the exec loop; removing may take long and happens on the cleaner's thread.
#pragma once

#include "shared/base/ids.h"
#include "shared/base/result.h"

#include <string>

namespace penstock::builder {

struct AttemptFolder {
    std::string path;
    std::string temporary;
};

[[nodiscard]] AttemptFolder folderOf(const std::string& attemptsPath, AttemptId attempt);
// Both exist and are empty afterwards. Conflict: something is there already. Unavailable: the disk refuses.
[[nodiscard]] Result<void> makeFolder(const AttemptFolder& folder);
// Removes the whole tree and nothing outside it: symbolic links are removed, never followed; depth, modes of
// directories and number of entries do not matter. A missing tree is fine. Blocks.
[[nodiscard]] Result<void> removeTree(const std::string& path);

} // namespace penstock::builder
