// SPDX-License-Identifier: GPL-3.0-or-later
// Resolution: a derivation whose inputs have all been built, made into one that needs no other derivation.
// Paths that only a build could tell stand where Nix had written stand-ins, and outputs that waited for them
// get their own paths (nix-formats 2.2, 2.6; Nix's Derivation::tryResolve, whose results these are). Pure
// values. Errors: NotFound for an input's output that is not known, Invalid for dynamic derivations.
#pragma once

#include "shared/base/result.h"
#include "shared/nix/drv.h"
#include "shared/nix/realisation.h"
#include "shared/nix/store_path.h"

#include <map>
#include <string>
#include <string_view>
#include <utility>

namespace penstock::nix {

// Where the outputs of input derivations are: by .drv and output name.
using KnownOutputs = std::map<std::pair<StorePath, std::string>, StorePath>;

struct ResolvedDerivation {
    // The one to name to the daemon. Of a floating or deferred derivation the .drv that this text would have,
    // as Nix does it; otherwise the given one, so that logs and derivers stay with it.
    StorePath path;
    BasicDerivation basic; // floating outputs still have no path
    Hash modulo;           // masked hash modulo of what is built: the id of its realisations
};

// Whether Nix would build drv in a resolved form: some input's path is not in its text.
[[nodiscard]] bool needsResolution(const Derivation& drv);

// known: at least every output that drv names of its input derivations, of whatever kind those are.
[[nodiscard]] Result<ResolvedDerivation> resolveDerivation(const StoreDir& dir, const StorePath& drvPath,
                                                           const Derivation& drv, const KnownOutputs& known);

// The same for somebody who has the derivation's text but not those of its inputs: the paths that stand in the text
// come as plain ones, without whose outputs they are, and `revealed` are those that only builds could tell. NotFound
// when the text still waits for one that is not among them.
struct GivenInputs {
    std::string_view text;
    const StorePathSet& plain;
    const KnownOutputs& revealed;
};
[[nodiscard]] Result<ResolvedDerivation> resolveGiven(const StoreDir& dir, const StorePath& drvPath, Derivation drv,
                                                      const GivenInputs& given);

} // namespace penstock::nix
