// SPDX-License-Identifier: GPL-3.0-or-later
// GcRoots: links that keep outputs from being collected, <directory>/<base name> to the store path, as Hydra names
// them. Hydra's own hydra-update-gc-roots looks after that directory: it removes links older than a day of builds that
// are not to be kept, so that each link is made anew, whether or not it is there. Best effort: a link that cannot be
// made harms no build, and is told. Any thread, several at once; blocking.
#pragma once

#include "shared/base/log.h"
#include "shared/base/mutex.h"
#include "shared/base/result.h"
#include "shared/nix/store_path.h"

#include <cstdint>
#include <string>

namespace penstock::hydra {

class GcRoots {
public:
    // directory: made when it is missing, with those above it. The logger outlives it.
    GcRoots(std::string directory, nix::StoreDir store, Logger& logger);

    // Each of the paths has a link of today, which is never half made. The error is the first link's that failed; the
    // others are made all the same.
    [[nodiscard]] Result<void> add(const nix::StorePathSet& paths);
    // The same, and the error is logged.
    void keep(const nix::StorePathSet& paths);

private:
    [[nodiscard]] std::uint64_t nextLink();
    [[nodiscard]] Result<void> link(const nix::StorePath& path);

    const std::string m_directory;
    const nix::StoreDir m_store;
    Logger& m_logger;
    Mutex m_mutex;
    std::uint64_t m_links PENSTOCK_GUARDED_BY(m_mutex) = 0; // for names of links in the making
};

} // namespace penstock::hydra
