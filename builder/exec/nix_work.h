// SPDX-License-Identifier: GPL-3.0-or-later
// NixWork, read and made ready to build: paths parsed, and what only earlier builds could tell put in its
// place. Pure. Errors: Invalid for what is no such work, NotFound for an input's output that nobody has told.
#pragma once

#include "shared/base/result.h"
#include "shared/nix/drv.h"
#include "shared/nix/store_path.h"
#include "shared/protocol/link_values.h"

#include <map>
#include <optional>
#include <string>

namespace penstock::builder {

struct NixBuild {
    nix::StorePath drvPath;                                   // to be named to the daemon
    std::optional<nix::Derivation> drv = std::nullopt;        // as given; none: only the .drv in the store
    std::optional<nix::BasicDerivation> basic = std::nullopt; // what is built; with drv
    nix::StorePathSet inputs = {};
    std::map<std::string, nix::StorePath> outputs = {}; // those known beforehand
    bool knowsAllOutputs = false;

    // Only a trusted client may give the daemon a derivation whose outputs do not prove themselves.
    [[nodiscard]] bool needsTrust() const;
    // Its author says that it is deterministic, which is held to: a second build must give the same. Not known without
    // drv. The word is Hydra's; its last version had it misspelt.
    [[nodiscard]] bool isBuiltTwice() const;
};

[[nodiscard]] Result<NixBuild> readNixWork(const nix::StoreDir& dir, const protocol::NixWork& work);

} // namespace penstock::builder
