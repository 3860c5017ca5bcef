// SPDX-License-Identifier: GPL-3.0-or-later
// What `penstock-server --hydra --status` and `--unlock` do in place of serving. Blocking; for main. Error texts say
// what to do.
#pragma once

#include "server/app/server_options.h"
#include "shared/base/result.h"

#include <string>

namespace penstock::app {

// The text of GET /status of the server that runs: asked where its file of addresses in the data directory says, else
// at the addresses of the options. NotFound: none runs. Denied: one runs, and cannot be asked.
[[nodiscard]] Result<std::string> readRunningStatus(const ServerOptions& options);

// One line for people: how many steps were ended. Conflict: a runner lives.
[[nodiscard]] Result<std::string> unlockHydra(const ServerOptions& options);

} // namespace penstock::app
