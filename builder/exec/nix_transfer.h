// SPDX-License-Identifier: GPL-3.0-or-later
// How inputs and outputs of derivations travel between this machine's store and the server: what all attempts
// share (NixRoads), and one attempt's use of it (NixTransfer). Blocking; a NixTransfer is of one attempt's
// thread.
#pragma once

#include "shared/nixdaemon/daemon_connection.h"
#include "shared/nixdaemon/daemon_pool.h"
#include "shared/protocol/link_values.h"
#include "shared/transfer/fetcher.h"
#include "shared/transfer/sender.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace penstock::builder {

struct NixRoads {
    std::function<std::string()> server; // of the link as it is now; callable from any thread
    std::shared_ptr<transfer::RoadClients> clients;
    std::shared_ptr<nixdaemon::DaemonPool> pool; // for NARs; attempts keep connections of their own
    std::shared_ptr<transfer::Fetcher> fetcher;
    std::shared_ptr<transfer::Sender> sender;
};

struct NixRoadOptions {
    std::function<std::string()> server;
    curl::HttpClientOptions http;
    std::string socketPath;
    nix::StoreDir storeDir = nix::StoreDir::standard();
    std::string spoolDirectory;
    unsigned streams = 4; // each way
};
[[nodiscard]] Result<std::shared_ptr<const NixRoads>> openNixRoads(NixRoadOptions options);

class NixTransfer {
public:
    // holder: the attempt's own connection, whose temporary roots keep what travels until it ends.
    NixTransfer(const NixRoads& roads, nixdaemon::DaemonConnection& holder,
                const protocol::Assignment& assignment, nixdaemon::Interrupt interrupt, bool substitute);

    // What the server knows of the outputs, if it has all of them.
    [[nodiscard]] Result<std::optional<std::vector<protocol::NixOutput>>>
    outputsAtServer(const std::map<std::string, nix::StorePath>& outputs) const;
    [[nodiscard]] Result<void> fetch(const nix::StorePathSet& inputs);
    [[nodiscard]] Result<void> send(const nix::StorePathSet& outputs, transfer::TapNar tap);
    // The NAR of a valid path of this machine's store, or of one that the server has.
    [[nodiscard]] Result<void> readHere(const nix::StorePath& path, const ByteSink& sink) const;
    [[nodiscard]] Result<void> readAtServer(const nix::StorePath& path, const ByteSink& sink) const;
    // Of the NARs of all that the paths need.
    [[nodiscard]] Result<std::uint64_t> closureSizeAtServer(const nix::StorePathSet& paths) const;

private:
    [[nodiscard]] transfer::StoreMaker storeMaker() const;

    const NixRoads& m_roads;
    nixdaemon::DaemonConnection& m_holder;
    nixdaemon::Interrupt m_interrupt;
    bool m_substitute;
    std::shared_ptr<const transfer::Road> m_road;
};

} // namespace penstock::builder
