// SPDX-License-Identifier: GPL-3.0-or-later
// What a machine's Nix can do, from the daemon's greeting and `nix show-config --json` (newer: `nix config
// show
// --json`). parseShowConfig is pure; queryFacts blocks while it talks to the daemon. Errors: Invalid for text
// that is not such JSON, else those of DaemonConnection.
#pragma once

#include "shared/base/result.h"
#include "shared/nix/store_path.h"
#include "shared/nixdaemon/daemon_connection.h"
#include "shared/nixdaemon/daemon_types.h"

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::nixdaemon {

struct ShowConfig {
    std::vector<std::string> systems; // the machine's own first, then the extra platforms
    std::set<std::string> features; // with "ca-derivations" where that experimental feature is on
};

struct NixFacts {
    std::string nixVersion; // empty when the daemon is older than 2.7
    unsigned protocolMinor;
    Trust trust;
    nix::StoreDir storeDir;
    ShowConfig config;
};

[[nodiscard]] Result<ShowConfig> parseShowConfig(std::string_view json);
[[nodiscard]] Result<NixFacts> queryFacts(const std::string& socketPath, const DaemonOptions& options,
                                          std::string_view showConfigJson);

} // namespace penstock::nixdaemon
