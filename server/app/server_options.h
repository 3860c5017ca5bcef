// SPDX-License-Identifier: GPL-3.0-or-later
// What penstock-server can be told: the option table, and the checked values. Pure but for looking at the sockets that
// the environment given speaks of, and at TLS files. Invalid and Denied texts name the flag and the way out.
#pragma once

#include "server/app/hydra_options.h"
#include "server/app/output_options.h"
#include "server/auth/policy.h"
#include "server/core/options.h"
#include "server/net/listen_address.h"
#include "server/net/listener.h"
#include "shared/base/result.h"
#include "shared/config/options.h"
#include "shared/log/logger.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace penstock::app {

struct ServerOptions {
    std::string dataDir;
    std::vector<net::ListenAddress> listen;
    std::string databaseUrl; // empty: embedded
    std::optional<hydra::Options> hydra; // nothing: no Hydra is served
    auth::Mode auth = auth::Mode::Local;
    bool insecure = false;
    net::TlsFiles tls;
    std::string portFile;    // empty: none
    std::string serverName;
    std::string storeDir;
    std::chrono::milliseconds heartbeat{2'000};
    std::chrono::milliseconds deadline{6'000};
    core::CoreOptions core; // scheduling and the reconnect grace
    std::uint64_t maxLogBytes = 0;
    OutputOptions outputs;
    config::Environment environment; // as it was read; for credentials
};

[[nodiscard]] config::ProgramSpec serverProgram();
[[nodiscard]] Result<ServerOptions> readServerOptions(const config::Values& values,
                                                      const config::Environment& environment, bool isRoot);

} // namespace penstock::app
