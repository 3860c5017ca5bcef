// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/hydra/build_loader_reading.h"

#include "shared/nix/build_needs.h"
#include "shared/nix/drv.h"

#include <algorithm>

namespace penstock::hydra {

bool ReadDerivation::knowsOutputs() const
{
    return std::ranges::none_of(outputs, [](const work::NixOutput& output) { return output.path.empty(); });
}

Reading readingOf(const nix::StoreDir& dir, const nix::StorePath& path, std::string_view text)
{
    const std::string_view name = path.name().substr(0, path.name().size() - std::string_view(".drv").size());
    auto drv = nix::parseDerivation(dir, name, text);
    if (!drv)
        return DerivationBroken{drv.error().message};
    if (drv->hasDynamicInputs())
        return DerivationBroken{"needs outputs of derivations made during the build, which this version cannot build"};
    auto needs = nix::readBuildNeeds(*drv);
    if (!needs)
        return DerivationBroken{needs.error().message};
    ReadDerivation reading;
    reading.name = name;
    reading.isImpure = drv->outputKind() == nix::OutputKind::Impure;
    reading.system = std::move(needs->system);
    reading.isBuiltin = needs->isBuiltin;
    if (needs->preferLocalBuild)
        needs->features.insert("local"); // asks nothing of a machine: see sched::kLocalFeature
    reading.features.assign(needs->features.begin(), needs->features.end());
    reading.allowsSubstitutes = needs->allowSubstitutes;
    reading.inputs.reserve(drv->inputDerivations.size());
    for (const auto& [input, outputs] : drv->inputDerivations)
        reading.inputs.push_back(input);
    reading.outputs.reserve(drv->outputs.size());
    for (const auto& [output, facts] : drv->outputs)
        reading.outputs.push_back({output, facts.path ? facts.path->print(dir) : std::string()});
    return reading;
}

} // namespace penstock::hydra
