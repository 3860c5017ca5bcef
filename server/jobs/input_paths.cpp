// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/jobs/input_paths.h"

#include <fmt/format.h>

#include <algorithm>

namespace penstock::jobs {

std::vector<work::NixOutput> statedOutputs(const nix::StoreDir& dir, const nix::Derivation& drv)
{
    std::vector<work::NixOutput> outputs;
    outputs.reserve(drv.outputs.size());
    for (const auto& [name, output] : drv.outputs)
        outputs.push_back({name, output.path ? output.path->print(dir) : std::string()});
    return outputs;
}

Result<std::vector<std::string>> inputPaths(const nix::StoreDir& dir, const nix::StorePath& drvPath,
                                            const nix::Derivation& drv, const OutputsOf& outputsOf)
{
    std::vector<std::string> paths;
    paths.reserve(drv.inputSources.size() + drv.inputDerivations.size());
    for (const auto& source : drv.inputSources)
        paths.push_back(source.print(dir));
    for (const auto& [input, node] : drv.inputDerivations) {
        PENSTOCK_TRY(const std::vector<work::NixOutput>* outputs, outputsOf(input));
        for (const auto& name : node.outputs) {
            const auto output = std::ranges::find(*outputs, name, &work::NixOutput::name);
            if (output == outputs->end())
                return fail(ErrorCode::Invalid,
                            fmt::format("{} needs output \"{}\" of {}, which has none of that name",
                                        drvPath.print(dir), name, input.print(dir)));
            if (!output->path.empty())
                paths.push_back(output->path);
        }
    }
    std::ranges::sort(paths);
    paths.erase(std::unique(paths.begin(), paths.end()), paths.end());
    if (paths.size() > kMaxInputPaths)
        return fail(ErrorCode::Exhausted, fmt::format("{} has {} inputs, more than the limit of {}",
                                                      drvPath.print(dir), paths.size(), kMaxInputPaths));
    paths.shrink_to_fit();
    return paths;
}

} // namespace penstock::jobs
