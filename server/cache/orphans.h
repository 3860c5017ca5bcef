// SPDX-License-Identifier: GPL-3.0-or-later
// removeOrphanNars: removes from a directory the NARs that no narinfo names: those of publications that never ended.
// Only while nothing is being published there, so at the start: whoever publishes takes a NAR that is there already.
// Programs that write to the same directory are told apart by age only. Blocking. Errors: the directory's, and Corrupt
// for a narinfo that cannot be read; then nothing is removed.
#pragma once

#include "server/cache/dir_store.h"
#include "shared/base/clock.h"
#include "shared/base/result.h"
#include "shared/nix/store_path.h"

#include <chrono>
#include <cstddef>

namespace penstock::cache {

struct OrphanLimits {
    Duration age = std::chrono::hours(24);   // younger ones are left: somebody may still publish them
    Duration patience = std::chrono::seconds(10); // for reading the narinfos; beyond it nothing is removed
    std::size_t maxFiles = 2'000'000;        // of NARs, in memory
};
struct OrphanSweep {
    std::size_t removed = 0;
    bool isWhole = true; // false: a limit was met, so nothing was removed
};
[[nodiscard]] Result<OrphanSweep> removeOrphanNars(DirStore& store, const Clock& clock, OrphanLimits limits);

} // namespace penstock::cache
