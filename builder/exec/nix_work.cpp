// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/exec/nix_work.h"

#include "shared/nix/resolution.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace penstock::builder {
namespace {

Result<nix::KnownOutputs> readResolved(const nix::StoreDir& dir, const protocol::NixWork& work)
{
    nix::KnownOutputs known;
    for (const protocol::ResolvedInput& input : work.resolved) {
        PENSTOCK_TRY(auto drvPath, nix::StorePath::parse(dir, input.drvPath));
        PENSTOCK_TRY(auto path, nix::StorePath::parse(dir, input.path));
        known.insert_or_assign({std::move(drvPath), input.output}, std::move(path));
    }
    return known;
}

// Without a path of its own, and nobody told one: its placeholder would stay in the text.
Result<void> checkIsKnown(const nix::StorePath& drvPath, const std::string& output, const std::string& text,
                          const nix::KnownOutputs& known)
{
    if (known.contains({drvPath, output}) || text.find(nix::outputPlaceholder(drvPath, output)) == std::string::npos)
        return {};
    return fail(ErrorCode::NotFound,
                fmt::format("output {} of the input {} has no path yet, and the server told none; its step must be built "
                            "first",
                            output, drvPath.baseName()));
}

// The outputs whose paths stand in the text come as plain paths, without whose outputs they are. They need no
// derivation to be told apart, since a resolved derivation only has the set of its inputs' paths.
Result<nix::Derivation> withOnlyRevealing(const NixBuild& build, const std::string& text, const nix::KnownOutputs& known)
{
    nix::Derivation drv = *build.drv;
    drv.inputSources.insert(build.inputs.begin(), build.inputs.end());
    for (auto input = drv.inputDerivations.begin(); input != drv.inputDerivations.end();) {
        auto& [drvPath, node] = *input;
        for (const std::string& output : node.outputs)
            PENSTOCK_TRY_VOID(checkIsKnown(drvPath, output, text, known));
        std::erase_if(node.outputs, [&, &path = drvPath](const std::string& output) {
            return !known.contains({path, output});
        });
        const bool isPlain = node.outputs.empty() && node.dynamic.empty();
        input = isPlain ? drv.inputDerivations.erase(input) : std::next(input);
    }
    return drv;
}

Result<void> resolve(const nix::StoreDir& dir, const protocol::NixWork& work, NixBuild& build)
{
    if (!nix::needsResolution(*build.drv)) {
        build.basic = nix::resolve(*build.drv, build.inputs);
        return {};
    }
    PENSTOCK_TRY(const auto known, readResolved(dir, work));
    PENSTOCK_TRY(const auto drv, withOnlyRevealing(build, work.drv, known));
    PENSTOCK_TRY(auto resolved, nix::resolveDerivation(dir, build.drvPath, drv, known));
    build.drvPath = std::move(resolved.path);
    build.inputs = resolved.basic.inputs;
    for (const auto& [name, output] : resolved.basic.outputs)
        if (output.path)
            build.outputs.insert_or_assign(name, *output.path);
    build.basic = std::move(resolved.basic);
    return {};
}

} // namespace

bool NixBuild::needsTrust() const
{
    if (!drv)
        return true;
    const nix::OutputKind kind = drv->outputKind();
    return kind == nix::OutputKind::InputAddressed || kind == nix::OutputKind::Deferred;
}

Result<NixBuild> readNixWork(const nix::StoreDir& dir, const protocol::NixWork& work)
{
    PENSTOCK_TRY(auto drvPath, nix::StorePath::parse(dir, work.drvPath));
    NixBuild build{std::move(drvPath)};
    for (const std::string& text : work.inputPaths) {
        PENSTOCK_TRY(auto path, nix::StorePath::parse(dir, text));
        build.inputs.insert(std::move(path));
    }
    for (const protocol::NixOutput& output : work.outputs) {
        if (output.path.empty())
            continue;
        PENSTOCK_TRY(auto path, nix::StorePath::parse(dir, output.path));
        build.outputs.insert_or_assign(output.name, std::move(path));
    }
    if (!work.drv.empty()) {
        PENSTOCK_TRY(build.drv, nix::parseDerivationAt(dir, build.drvPath, work.drv));
        PENSTOCK_TRY_VOID(resolve(dir, work, build));
    }
    build.knowsAllOutputs = !build.outputs.empty() &&
                            std::ranges::all_of(work.outputs, [&](const protocol::NixOutput& output) {
                                return build.outputs.contains(output.name);
                            });
    return build;
}

} // namespace penstock::builder
