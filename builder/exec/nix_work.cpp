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

Result<void> resolve(const nix::StoreDir& dir, const protocol::NixWork& work, NixBuild& build)
{
    if (!nix::needsResolution(*build.drv)) {
        build.basic = nix::resolve(*build.drv, build.inputs);
        return {};
    }
    PENSTOCK_TRY(const auto known, readResolved(dir, work));
    PENSTOCK_TRY(auto resolved,
                 nix::resolveGiven(dir, build.drvPath, *build.drv, {work.drv, build.inputs, known}));
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

bool NixBuild::isBuiltTwice() const
{
    const auto isSet = [this](const char* name) {
        const auto found = drv->environment.find(name);
        return found != drv->environment.end() && found->second == "1";
    };
    return drv && (isSet("isDeterministic") || isSet("isDetermistic"));
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
    build.knowsAllOutputs =
        !build.outputs.empty() && std::ranges::all_of(work.outputs, [&](const protocol::NixOutput& output) {
            return build.outputs.contains(output.name);
        });
    return build;
}

} // namespace penstock::builder
