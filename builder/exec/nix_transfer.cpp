// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/exec/nix_transfer.h"

#include "shared/nixstore/daemon_store.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

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
                         const protocol::Assignment& assignment, nixdaemon::Interrupt interrupt,
                         bool substitute)
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
        found.push_back(
            {name, path.print(m_road->storeDir()), info->narHash.prefixedBase16(), info->narSize});
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

Result<void> NixTransfer::send(const nix::StorePathSet& outputs, transfer::TapNar tap)
{
    PENSTOCK_TRY_VOID(m_holder.addTempRoots(outputs));
    transfer::SendOrder order{outputs, m_road, storeMaker(), m_interrupt};
    order.tap = std::move(tap);
    const auto sent = m_roads.sender->send(order);
    return sent ? Result<void>() : fail(Error(sent.error()).in("outputs"));
}

Result<void> NixTransfer::readHere(const nix::StorePath& path, const ByteSink& sink) const
{
    const auto store = storeMaker()(m_interrupt);
    PENSTOCK_TRY(const auto info, store->info(path));
    if (!info)
        return fail(ErrorCode::NotFound, fmt::format("{} is not valid in this machine's store", path.baseName()));
    return store->readNar(*info, sink);
}

Result<void> NixTransfer::readAtServer(const nix::StorePath& path, const ByteSink& sink) const
{
    const auto isCancelled = [this] { return m_interrupt.isRaised(); };
    PENSTOCK_TRY(const auto info, m_road->info(path, isCancelled));
    if (!info)
        return fail(ErrorCode::NotFound, fmt::format("the server does not have {} any more", path.baseName()));
    return m_road->readNar(*info, sink, isCancelled);
}

Result<std::uint64_t> NixTransfer::closureSizeAtServer(const nix::StorePathSet& paths) const
{
    PENSTOCK_TRY(const auto closure, m_road->closure(paths, [this] { return m_interrupt.isRaised(); }));
    std::uint64_t bytes = 0;
    for (const nix::NarInfo& info : closure)
        bytes += info.narSize;
    return bytes;
}

} // namespace penstock::builder
