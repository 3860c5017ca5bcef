// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nix/resolution.h"

#include "shared/nix/modulo.h"

#include <algorithm>
#include <iterator>
#include <utility>

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
Result<void> checkIsRevealed(const StorePath& drvPath, const std::string& output, const Derivation& drv,
                             const KnownOutputs& revealed)
{
    const std::string standIn = outputPlaceholder(drvPath, output);
    const auto has = [&](const std::string& text) { return text.find(standIn) != std::string::npos; };
    const bool isLeft =
        !revealed.contains({drvPath, output}) &&
        (has(drv.builder) || std::ranges::any_of(drv.arguments, has) ||
         std::ranges::any_of(drv.environment, [&](const auto& entry) { return has(entry.second); }));
    if (!isLeft)
        return {};
    return fail(ErrorCode::NotFound,
                fmt::format("derivation {}: the path of output {} of its input {} is not known; build "
                            "that first",
                            drv.name, output, drvPath.baseName()));
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

Result<ResolvedDerivation> resolveWithInputs(const StoreDir& dir, const StorePath& drvPath,
                                             const Derivation& drv, const StorePathSet& inputs,
                                             const KnownOutputs& revealed)
{
    // A resolved derivation only has the set of its inputs' paths, so that what is named in the text anyway
    // may come as plain paths.
    Derivation reduced = drv;
    reduced.inputSources.insert(inputs.begin(), inputs.end());
    for (auto input = reduced.inputDerivations.begin(); input != reduced.inputDerivations.end();) {
        const StorePath& made = input->first;
        InputNode& node = input->second;
        for (const std::string& output : node.outputs)
            PENSTOCK_TRY_VOID(checkIsRevealed(made, output, drv, revealed));
        std::erase_if(node.outputs, [&](const std::string& output) {
            return !revealed.contains({made, output});
        });
        const bool isPlain = node.outputs.empty() && node.dynamic.empty();
        input = isPlain ? reduced.inputDerivations.erase(input) : std::next(input);
    }
    return resolveDerivation(dir, drvPath, reduced, revealed);
}

} // namespace penstock::nix
