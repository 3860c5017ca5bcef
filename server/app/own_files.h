// SPDX-License-Identifier: GPL-3.0-or-later
// The few files that the server itself makes: its data directory, and where it says what it listens on. Blocking, at
// start-up. Internal: they cannot be written; names the option.
#pragma once

#include "server/app/server_options.h"
#include "shared/base/result.h"

#include <string>
#include <vector>

namespace penstock::app {

[[nodiscard]] Result<void> makeDataDir(const std::string& path);
// Where a server says which addresses it has bound, one a line; left behind when it ends.
[[nodiscard]] std::string addressFile(const std::string& dataDir);
// That file, and the one of --port-file. ports: one a line.
[[nodiscard]] Result<void> tellAddresses(const ServerOptions& options, const std::vector<std::string>& addresses,
                                         const std::string& ports);

} // namespace penstock::app
