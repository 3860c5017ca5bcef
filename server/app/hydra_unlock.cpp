// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/hydra_errands.h"

#include "server/hydra/lock_file.h"
#include "server/hydra/unlock.h"

#include <fmt/format.h>

namespace penstock::app {

Result<std::string> unlockHydra(const ServerOptions& options)
{
    // Held while the rows are written, so that no runner starts in between.
    PENSTOCK_TRY(const hydra::LockFile lock, hydra::LockFile::take(options.hydra->dataDir));
    const store::postgres::StopSignal never;
    PENSTOCK_TRY(auto connection, store::postgres::Connection::open(options.databaseUrl, "penstock unlock", never));
    PENSTOCK_TRY(const std::uint64_t ended, hydra::endBusySteps(connection, SystemClock{}.now().wall));
    return ended == 0 ? std::string("no step was shown as running; nothing was changed")
                      : fmt::format("{} {} shown as running {} ended, with status 3 (aborted)", ended,
                                    ended == 1 ? "step" : "steps", ended == 1 ? "was" : "were");
}

} // namespace penstock::app
