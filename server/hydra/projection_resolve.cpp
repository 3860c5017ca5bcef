// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/hydra/projection_resolve.h"

#include "shared/nix/resolution.h"

#include <utility>

namespace penstock::hydra {

Result<std::string> resolvedPath(const Resolver& resolver, const std::string& drvPath,
                                 const std::vector<RevealedOutputs>& inputs)
{
    const nix::StoreDir& dir = resolver.storeDir;
    PENSTOCK_TRY(const nix::StorePath path, nix::StorePath::parse(dir, drvPath));
    PENSTOCK_TRY(const GivenDerivation given, resolver.read(drvPath));
    PENSTOCK_TRY(nix::Derivation drv, nix::parseDerivationAt(dir, path, given.text));
    if (!nix::needsResolution(drv))
        return drvPath;
    nix::StorePathSet plain;
    for (const std::string& text : given.inputPaths) {
        PENSTOCK_TRY(nix::StorePath input, nix::StorePath::parse(dir, text));
        plain.insert(std::move(input));
    }
    nix::KnownOutputs revealed;
    for (const RevealedOutputs& input : inputs) {
        PENSTOCK_TRY(const nix::StorePath inputPath, nix::StorePath::parse(dir, input.drvPath));
        for (const work::OutputFact& output : input.outputs) {
            PENSTOCK_TRY(nix::StorePath at, nix::StorePath::parse(dir, output.path));
            revealed.insert_or_assign({inputPath, output.name}, std::move(at));
        }
    }
    PENSTOCK_TRY(const auto resolved, nix::resolveGiven(dir, path, std::move(drv), {given.text, plain, revealed}));
    return resolved.path.print(dir);
}

} // namespace penstock::hydra
