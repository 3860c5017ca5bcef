// SPDX-License-Identifier: GPL-3.0-or-later
// DaemonStore: StoreAccess through a pool of connections to a nix-daemon. Blocking; callable from any thread,
// from several at once. Cheap to make: one for each attempt over a shared pool, so that each has an interrupt
// of its own. What is added is held by no root once its connection is closed; who needs it holds a root
// (DaemonConnection:: addTempRoots) from before.
#pragma once

#include "shared/nixdaemon/daemon_pool.h"
#include "shared/nixdaemon/unix_socket.h"
#include "shared/nixstore/store_access.h"

#include <memory>

namespace penstock::nixstore {

class DaemonStore final : public StoreAccess {
public:
    // Raising the interrupt makes running and later calls fail with Cancelled.
    DaemonStore(std::shared_ptr<nixdaemon::DaemonPool> pool, nixdaemon::Interrupt interrupt)
        : m_pool(std::move(pool)), m_interrupt(std::move(interrupt))
    {}

    [[nodiscard]] const nix::StoreDir& storeDir() const override { return m_pool->storeDir(); }
    [[nodiscard]] Result<nix::StorePathSet> validPaths(const nix::StorePathSet& paths,
                                                       bool substitute) override;
    [[nodiscard]] Result<std::optional<nix::NarInfo>> info(const nix::StorePath& path) override;
    [[nodiscard]] Result<std::vector<nix::NarInfo>> infos(const nix::StorePathSet& paths) override;
    [[nodiscard]] Result<void> readNar(const nix::NarInfo& info, const ByteSink& sink) override;
    [[nodiscard]] Result<void> addNar(const nix::NarInfo& info, const ByteSource& nar) override;
    [[nodiscard]] Result<void> addNars(const std::vector<NarToTake>& nars, std::size_t& added) override;
    [[nodiscard]] Result<void> addRoot(const nix::StorePath& path, const std::string& link) override;

private:
    std::shared_ptr<nixdaemon::DaemonPool> m_pool;
    nixdaemon::Interrupt m_interrupt;
};

} // namespace penstock::nixstore
