// SPDX-License-Identifier: GPL-3.0-or-later
// The Nix store of this machine as nix's own environment names it (NIX_REMOTE, NIX_STORE_DIR,
// NIX_DAEMON_SOCKET_PATH): through the daemon's socket where there is one, else through the nix tools. Blocking; top
// level of a command only.
#pragma once

#include "client/build/closure.h"
#include "shared/base/result.h"
#include "shared/config/options.h"
#include "shared/nix/store_path.h"
#include "shared/transfer/store_maker.h"

#include <memory>
#include <string>
#include <string_view>

namespace penstock::client {

// What the environment says.
struct StorePlace {
    std::string socket; // of the daemon; empty: not by a daemon
    std::string root;   // where the store directory lies on disk; empty: where it says
};
[[nodiscard]] Result<StorePlace> storePlace(const config::Environment& environment);

class LocalStore {
public:
    [[nodiscard]] static Result<LocalStore> open(nix::StoreDir dir, const config::Environment& environment);

    [[nodiscard]] const nix::StoreDir& dir() const { return m_dir; }
    [[nodiscard]] const transfer::StoreMaker& maker() const { return m_maker; }
    // From its file, else from the store.
    [[nodiscard]] DerivationReader derivationReader() const;
    [[nodiscard]] Result<bool> has(const std::string& path) const;

private:
    LocalStore(nix::StoreDir dir, StorePlace place, transfer::StoreMaker maker)
        : m_dir(std::move(dir)), m_place(std::move(place)), m_maker(std::move(maker))
    {}
    nix::StoreDir m_dir;
    StorePlace m_place;
    transfer::StoreMaker m_maker;
};

} // namespace penstock::client
