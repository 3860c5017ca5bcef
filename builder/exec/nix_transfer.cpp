// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/exec/nix_transfer.h"

#include "shared/nixstore/daemon_store.h"

#include <algorithm>
#include <utility>

namespace penstock::builder {
namespace {

constexpr std::size_t kQuestions = 4; // connections to the daemon beside those of the streams

} // namespace

Result<std::shared_ptr<const NixRoads>> openNixRoads(NixRoadOptions options)
{
    nixdaemon::PoolOptions pool;
    pool.daemon.storeDir = options.storeDir;
    pool.maxConnections = 2 * std::size_t{options.streams} + kQuestions;
    NixRoads roads;
    roads.server = std::move(options.server);
    roads.clients = std::make_shared<transfer::RoadClients>(options.http);
    PENSTOCK_TRY(roads.pool, nixdaemon::DaemonPool::create(std::move(options.socketPath), std::move(pool)));
    roads.fetcher = std::make_shared<transfer::Fetcher>(transfer::FetcherOptions{options.streams});
    roads.sender = std::make_shared<transfer::Sender>(
        transfer::SenderOptions{options.streams, std::move(options.spoolDirectory)});
    return std::make_shared<const NixRoads>(std::move(roads));
}

NixTransfer::NixTransfer(const NixRoads& roads, nixdaemon::DaemonConnection& holder,
                         const protocol::Assignment& assignment, nixdaemon::Interrupt interrupt, bool substitute)
    : m_roads(roads),
      m_holder(holder),
      m_interrupt(std::move(interrupt)),
      m_substitute(substitute),
      m_road(std::make_shared<const transfer::Road>(
          transfer::RoadOptions{roads.server, std::get<protocol::NixWork>(assignment.work).grant,
                                assignment.attempt.value(), holder.storeDir()},
          roads.clients))
{}

transfer::StoreMaker NixTransfer::storeMaker() const
{
    return [pool = m_roads.pool](const nixdaemon::Interrupt& interrupt) {
        return std::make_unique<nixstore::DaemonStore>(pool, interrupt);
    };
}

Result<std::optional<std::vector<protocol::NixOutput>>>
NixTransfer::outputsAtServer(const std::map<std::string, nix::StorePath>& outputs) const
{
    std::vector<protocol::NixOutput> found;
    for (const auto& [name, path] : outputs) {
        PENSTOCK_TRY(const auto info, m_road->info(path, [this] { return m_interrupt.isRaised(); }));
        if (!info)
            return std::nullopt;
        found.push_back({name, path.print(m_road->storeDir()), info->narHash.prefixedBase16(), info->narSize});
    }
    return found;
}

Result<void> NixTransfer::fetch(const nix::StorePathSet& inputs)
{
    if (inputs.empty())
        return {};
    transfer::FetchOrder order{inputs, m_road, storeMaker(), m_interrupt, m_substitute};
    order.hold = [this](const nix::StorePathSet& paths) { return m_holder.addTempRoots(paths); };
    const auto fetched = m_roads.fetcher->fetch(order);
    return fetched ? Result<void>() : fail(Error(fetched.error()).in("inputs"));
}

Result<void> NixTransfer::send(const nix::StorePathSet& outputs)
{
    PENSTOCK_TRY_VOID(m_holder.addTempRoots(outputs));
    const auto sent = m_roads.sender->send({outputs, m_road, storeMaker(), m_interrupt});
    return sent ? Result<void>() : fail(Error(sent.error()).in("outputs"));
}

} // namespace penstock::builder
