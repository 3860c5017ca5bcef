// SPDX-License-Identifier: GPL-3.0-or-later
// Hash modulo: what the output paths of input-addressed derivations are made from (nix-formats 2.6), and the
// check that a derivation's stated output paths are the right ones. Pure; callable from any thread. The
// hashes of the input derivations must be there already: add a closure in dependency order.
#pragma once

#include "shared/base/result.h"
#include "shared/nix/drv.h"
#include "shared/nix/hash.h"
#include "shared/nix/store_path.h"

#include <cstddef>
#include <cstdint>
#include <unordered_map>

namespace penstock::nix {

struct Modulo {
    Hash hash;
    bool isDeferred; // some input at any depth has an output path that only a build can tell
};

class ModuloHashes {
public:
    explicit ModuloHashes(StoreDir dir) : m_dir(std::move(dir)) {}

    // Remembers the unmasked hash of drv for its dependents. NotFound when an input was not added before.
    Result<void> add(const StorePath& drvPath, const Derivation& drv);
    // Both of the above and below at once, for less: checks the output paths, then remembers.
    [[nodiscard]] Result<void> addVerified(const StorePath& drvPath, const Derivation& drv);
    // The hash that output paths are made from.
    [[nodiscard]] Result<Modulo> masked(const Derivation& drv) const;
    // Invalid when an output path that can be computed is not the stated one, or the variable of an output
    // disagrees with it.
    [[nodiscard]] Result<void> verifyOutputPaths(const Derivation& drv) const;

    [[nodiscard]] std::size_t size() const { return m_hashes.size(); }

private:
    struct Inputs { // what stands in the place of the input derivations
        InputKeys keys; // keys that fall together unite their output names
        bool isDeferred = false;
    };
    [[nodiscard]] Result<Inputs> inputsOf(const Derivation& drv) const;
    [[nodiscard]] Modulo compute(const Derivation& drv, const Inputs& inputs, bool mask) const;
    [[nodiscard]] Result<void> verify(const Derivation& drv, const Inputs& inputs) const;

    StoreDir m_dir;
    std::unordered_map<StorePath, Modulo> m_hashes; // bounded by the closure that the caller holds anyway
};

} // namespace penstock::nix
