// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nix/modulo.h"

#include <set>
#include <string>
#include <utility>

#include <fmt/format.h>

namespace penstock::nix {
namespace {

Result<StorePath> fixedOutputPath(const StoreDir& dir, std::string_view drvName, std::string_view outputName,
                                  const DerivationOutput& output)
{
    PENSTOCK_TRY(const Hash hash, fixedHash(output));
    return computeFixedPath(dir, outputStoreName(drvName, outputName), fixedMethod(output), hash);
}

} // namespace

Result<ModuloHashes::Inputs> ModuloHashes::inputsOf(const Derivation& drv) const
{
    Inputs inputs;
    const OutputKind kind = drv.outputKind();
    if (kind == OutputKind::Fixed || kind == OutputKind::Impure)
        return inputs; // their hash says nothing of inputs
    if (drv.hasDynamicInputs())
        return fail(ErrorCode::Invalid,
                    fmt::format("derivation {}: dynamic inputs have no hash modulo", drv.name));
    inputs.isDeferred = kind != OutputKind::InputAddressed;
    for (const auto& [path, node] : drv.inputDerivations) {
        const auto known = m_hashes.find(path);
        if (known == m_hashes.end())
            return fail(ErrorCode::NotFound,
                        fmt::format("derivation {}: the hash of its input {} is not known", drv.name,
                                    path.baseName()));
        inputs.isDeferred = inputs.isDeferred || known->second.isDeferred;
        inputs.keys[known->second.hash.base16()].insert(node.outputs.begin(), node.outputs.end());
    }
    return inputs;
}

Modulo ModuloHashes::compute(const Derivation& drv, const Inputs& inputs, bool mask) const
{
    const OutputKind kind = drv.outputKind();
    if (kind == OutputKind::Fixed) {
        const DerivationOutput& out = drv.outputs.begin()->second;
        const std::string path = out.path ? out.path->print(m_dir) : "";
        return Modulo{hashOf(fmt::format("fixed:out:{}:{}:{}", out.method, out.hash, path)), false};
    }
    if (kind == OutputKind::Impure)
        return Modulo{hashOf("impure"), true};
    return Modulo{hashOf(printForModulo(m_dir, drv, inputs.keys, mask)), inputs.isDeferred};
}

Result<void> ModuloHashes::add(const StorePath& drvPath, const Derivation& drv)
{
    PENSTOCK_TRY(const Inputs inputs, inputsOf(drv));
    m_hashes.insert_or_assign(drvPath, compute(drv, inputs, false));
    return {};
}

Result<void> ModuloHashes::addVerified(const StorePath& drvPath, const Derivation& drv)
{
    PENSTOCK_TRY(const Inputs inputs, inputsOf(drv));
    PENSTOCK_TRY_VOID(verify(drv, inputs));
    m_hashes.insert_or_assign(drvPath, compute(drv, inputs, false));
    return {};
}

Result<Modulo> ModuloHashes::masked(const Derivation& drv) const
{
    PENSTOCK_TRY(const Inputs inputs, inputsOf(drv));
    return compute(drv, inputs, true);
}

Result<void> ModuloHashes::verifyOutputPaths(const Derivation& drv) const
{
    PENSTOCK_TRY(const Inputs inputs, inputsOf(drv));
    return verify(drv, inputs);
}

Result<void> ModuloHashes::verify(const Derivation& drv, const Inputs& inputs) const
{
    const OutputKind kind = drv.outputKind();
    if (kind != OutputKind::InputAddressed && kind != OutputKind::Fixed)
        return {};
    const Modulo modulo = compute(drv, inputs, true);
    if (kind == OutputKind::InputAddressed && modulo.isDeferred)
        return fail(ErrorCode::Invalid,
                    fmt::format("derivation {}: states output paths although they depend on "
                                "an input that is known only after its build",
                                drv.name));
    for (const auto& [name, output] : drv.outputs) {
        auto right = kind == OutputKind::Fixed ? fixedOutputPath(m_dir, drv.name, name, output)
                                               : computeOutputPath(m_dir, drv.name, name, modulo.hash);
        if (!right)
            return fail(std::move(right.error()).in(fmt::format("derivation {} output {}", drv.name, name)));
        if (output.path != *right)
            return fail(ErrorCode::Invalid,
                        fmt::format("derivation {}: output {} is said to be {}, but it must be {}", drv.name,
                                    name, output.path ? output.path->baseName() : "unknown",
                                    right->baseName()));
        const auto variable = drv.environment.find(name);
        if (variable == drv.environment.end() || variable->second != right->print(m_dir))
            return fail(
                ErrorCode::Invalid,
                fmt::format("derivation {}: its variable {} is not the path of that output", drv.name, name));
    }
    return {};
}

} // namespace penstock::nix
