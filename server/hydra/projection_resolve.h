// SPDX-License-Identifier: GPL-3.0-or-later
// What a derivation becomes once its inputs are known that only builds could tell: the one that a machine really builds
// (nix::resolveGiven). Pure but for the reading of texts, which blocks on a file.
#pragma once

#include "server/work/changes.h"
#include "shared/base/result.h"
#include "shared/nix/store_path.h"

#include <functional>
#include <string>
#include <vector>

namespace penstock::hydra {

struct GivenDerivation {
    std::string text;
    std::vector<std::string> inputPaths; // full: sources, and outputs whose paths stand in derivations
};

struct Resolver {
    nix::StoreDir storeDir;
    // Of a derivation's full path; on the thread that asks.
    std::function<Result<GivenDerivation>(const std::string& drvPath)> read;
    // The attempt builds this derivation, full path, and not its step's own. Told before the attempt is sent, on the
    // projection's thread; perhaps repeatedly, and of live attempts again at a start. Null: nobody asks.
    std::function<void(AttemptId attempt, const std::string& drvPath)> tell = {};
};

struct RevealedOutputs { // of an input derivation
    std::string drvPath;
    std::vector<work::OutputFact> outputs;
};

// The full path of the derivation that is built in the place of drvPath; drvPath itself where nothing changes.
[[nodiscard]] Result<std::string> resolvedPath(const Resolver& resolver, const std::string& drvPath,
                                               const std::vector<RevealedOutputs>& inputs);

} // namespace penstock::hydra
