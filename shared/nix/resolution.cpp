// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nix/resolution.h"

#include "shared/nix/modulo.h"

#include <iterator>

#include <fmt/format.h>

namespace penstock::nix {
namespace {

struct Inputs {
    StorePathSet paths;
    Rewrites rewrites;
};

Result<Inputs> collectInputs(const StoreDir& dir, const Derivation& drv, const KnownOutputs& known)
{
    Inputs inputs{drv.inputSources, {}};
    for (const auto& [drvPath, node] : drv.inputDerivations) {
        for (const std::string& output : node.outputs) {
            const auto at = known.find({drvPath, output});
            if (at == known.end())
                return fail(ErrorCode::NotFound,
                            fmt::format("derivation {}: the path of output {} of its input {} is not known; "
                                        "build that first",
                                        drv.name, output, drvPath.baseName()));
            inputs.paths.insert(at->second);
            inputs.rewrites.emplace(outputPlaceholder(drvPath, output), at->second.print(dir));
        }
    }
    return inputs;
}

Derivation withoutInputDerivations(std::string name, const BasicDerivation& basic)
{
    return {std::move(name), basic.outputs,    {}, basic.inputs, basic.platform, basic.builder,
            basic.arguments, basic.environment};
}

// Without a path of its own, and nobody told one: what stands for it would stay in the text.
Result<void> checkIsKnown(const StorePath& drvPath, const std::string& output, const GivenInputs& given)
{
    if (given.revealed.contains({drvPath, output}) ||
        given.text.find(outputPlaceholder(drvPath, output)) == std::string_view::npos)
        return {};
    return fail(ErrorCode::NotFound, fmt::format("output {} of the input {} has no path yet, and the server told none; "
                                                 "its step must be built first",
                                                 output, drvPath.baseName()));
}

} // namespace

bool needsResolution(const Derivation& drv)
{
    switch (drv.outputKind()) {
    case OutputKind::InputAddressed: return false;
    // An input may be floating, and the text does not say whether: resolving it does no harm.
    case OutputKind::Fixed:
    case OutputKind::Floating:
    case OutputKind::Impure: return !drv.inputDerivations.empty();
    case OutputKind::Deferred: return true;
    }
    return true;
}

Result<ResolvedDerivation> resolveDerivation(const StoreDir& dir, const StorePath& drvPath,
                                             const Derivation& drv, const KnownOutputs& known)
{
    if (drv.hasDynamicInputs())
        return fail(ErrorCode::Invalid,
                    fmt::format("derivation {}: has dynamic inputs, which cannot be built", drv.name));
    PENSTOCK_TRY(Inputs inputs, collectInputs(dir, drv, known));
    BasicDerivation basic = resolve(drv, std::move(inputs.paths), inputs.rewrites);
    Derivation built = withoutInputDerivations(drv.name, basic);
    PENSTOCK_TRY(const Modulo modulo, ModuloHashes(dir).masked(built));
    const OutputKind kind = drv.outputKind();
    if (kind == OutputKind::InputAddressed || kind == OutputKind::Fixed)
        return ResolvedDerivation{drvPath, std::move(basic), modulo.hash};
    if (kind == OutputKind::Deferred) {
        for (auto& [name, output] : basic.outputs) {
            PENSTOCK_TRY(output.path, computeOutputPath(dir, drv.name, name, modulo.hash));
            basic.environment[name] = output.path->print(dir);
        }
        built = withoutInputDerivations(drv.name, basic);
    }
    PENSTOCK_TRY(StorePath path, computeDerivationPath(dir, built));
    return ResolvedDerivation{std::move(path), std::move(basic), modulo.hash};
}

Result<ResolvedDerivation> resolveGiven(const StoreDir& dir, const StorePath& drvPath, Derivation drv,
                                        const GivenInputs& given)
{
    // A resolved derivation only has the set of its inputs' paths, so the plain ones need no derivation.
    drv.inputSources.insert(given.plain.begin(), given.plain.end());
    for (auto input = drv.inputDerivations.begin(); input != drv.inputDerivations.end();) {
        auto& [inputPath, node] = *input;
        for (const std::string& output : node.outputs)
            PENSTOCK_TRY_VOID(checkIsKnown(inputPath, output, given));
        std::erase_if(node.outputs, [&, &path = inputPath](const std::string& output) {
            return !given.revealed.contains({path, output});
        });
        const bool isPlain = node.outputs.empty() && node.dynamic.empty();
        input = isPlain ? drv.inputDerivations.erase(input) : std::next(input);
    }
    return resolveDerivation(dir, drvPath, drv, given.revealed);
}

} // namespace penstock::nix
