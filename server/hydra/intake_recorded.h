// SPDX-License-Identifier: GPL-3.0-or-later
// Where outputs are that no derivation names, as the rows of earlier builds tell: the newest step of the derivation that
// ended well, or of the one that was built in its place (status 13). Blocking; the connection's thread. Errors are those
// of Connection.
#pragma once

#include "server/hydra/build_loader.h"
#include "server/store/postgres/connection.h"
#include "shared/base/result.h"
#include "shared/nix/store_path.h"

#include <span>
#include <string>

namespace penstock::hydra {

// drvPaths: full. Those of which nothing is known are missing.
[[nodiscard]] Result<RecordedOutputs> readRecorded(store::postgres::Connection& connection, const nix::StoreDir& dir,
                                                   std::span<const std::string> drvPaths);

} // namespace penstock::hydra
