// SPDX-License-Identifier: GPL-3.0-or-later
// Ends what Hydra's tables show as running though no runner lives: for `penstock-server --hydra --unlock`, on the way
// back to another runner or when people must not look at a picture of yesterday. Blocks.
#pragma once

#include "server/store/postgres/connection.h"
#include "shared/base/clock.h"
#include "shared/base/result.h"

#include <cstdint>

namespace penstock::hydra {

// How many rows of buildsteps it ended: busy 0, status 3, stopped now. Conflict: a server leads this database. The
// caller holds Hydra's lock file, so no other runner writes.
[[nodiscard]] Result<std::uint64_t> endBusySteps(store::postgres::Connection& connection, WallTime now);

} // namespace penstock::hydra
