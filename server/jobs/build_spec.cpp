// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/jobs/build_spec.h"

#include "server/jobs/json_text.h"
#include "server/jobs/object_reader.h"
#include "shared/nix/build_needs.h"
#include "shared/nix/modulo.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <set>

namespace penstock::jobs {
namespace {

Result<void> refuseUnbuildable(const nix::Derivation& drv)
{
    if (drv.hasDynamicInputs())
        return fail(ErrorCode::Invalid, "needs outputs of derivations made during the build, which this version "
                                        "cannot build");
    if (drv.outputKind() == nix::OutputKind::Impure)
        return fail(ErrorCode::Invalid, "is impure, which this version cannot build");
    return {};
}

std::string jobName(const nix::StorePath& root, std::size_t roots)
{
    std::string name(root.name().substr(0, root.name().size() - std::string_view(".drv").size()));
    return roots == 1 ? name : fmt::format("{} and {} more", name, roots - 1);
}

std::string definitionOf(std::string_view jobJson, std::span<const std::string> roots)
{
    std::string out = "{\"drv\":[";
    for (std::size_t at = 0; at < roots.size() && out.size() < kMaxDefinitionBytes / 2; ++at) {
        if (at > 0)
            out.push_back(',');
        appendJsonString(out, roots[at]);
    }
    out += "],\"job\":";
    const bool fits = jobJson.size() < kMaxDefinitionBytes / 4;
    out += fits ? jobJson : "null";
    out.push_back('}');
    return out;
}

} // namespace

Result<void> BuildAssembler::add(std::string_view path, std::string_view text)
{
    PENSTOCK_TRY(auto storePath, nix::StorePath::parse(m_dir, path));
    if (m_derivations.size() >= kMaxDerivations)
        return fail(ErrorCode::Exhausted, fmt::format("more than {} derivations in one build; split it",
                                                      kMaxDerivations));
    if (text.size() > m_maxBytes - m_bytes)
        return fail(ErrorCode::Exhausted, fmt::format("the derivations have more than {} bytes in all; split the "
                                                      "build", m_maxBytes));
    auto drv = nix::parseDerivationAt(m_dir, storePath, text);
    if (!drv)
        return fail(std::move(drv).error().in(path));
    if (auto buildable = refuseUnbuildable(*drv); !buildable)
        return fail(std::move(buildable).error().in(path));
    m_bytes += text.size();
    // The same derivation twice has the same text, as the path is made of it.
    m_derivations.try_emplace(std::move(storePath), Entry{*std::move(drv), std::string(text)});
    return {};
}

// Depth first without recursion; inputs come before what needs them.
Result<std::vector<nix::StorePath>> BuildAssembler::order(std::span<const nix::StorePath> roots) const
{
    struct Visit {
        const nix::StorePath* path;
        const nix::Derivation* drv;
        std::map<nix::StorePath, nix::InputNode>::const_iterator next;
    };
    std::vector<nix::StorePath> out;
    std::set<nix::StorePath> seen;
    std::vector<Visit> stack;
    const auto enter = [&](const nix::StorePath& path, const nix::StorePath* neededBy) -> Result<void> {
        const auto found = m_derivations.find(path);
        if (found == m_derivations.end())
            return fail(ErrorCode::Invalid, fmt::format("derivation {} was not sent{}", path.print(m_dir),
                                                        neededBy ? ", but " + neededBy->print(m_dir) + " needs it"
                                                                 : " with the build that names it as a root"));
        if (seen.insert(path).second)
            stack.push_back({&found->first, &found->second.drv, found->second.drv.inputDerivations.begin()});
        return {};
    };
    for (const auto& root : roots) {
        PENSTOCK_TRY_VOID(enter(root, nullptr));
        while (!stack.empty()) {
            auto& top = stack.back();
            if (top.next == top.drv->inputDerivations.end()) {
                out.push_back(*top.path);
                stack.pop_back();
            } else {
                // A cycle cannot be: each path is a hash of the texts below it.
                const auto& input = (top.next++)->first;
                PENSTOCK_TRY_VOID(enter(input, top.path));
            }
        }
    }
    return out;
}

// A daemon that trusts its builder takes output paths as stated, so wrong ones must not come in here.
Result<void> BuildAssembler::verifyOutputs(std::span<const nix::StorePath> order) const
{
    nix::ModuloHashes hashes(m_dir);
    for (const auto& path : order) {
        const auto& drv = m_derivations.at(path).drv;
        if (auto added = hashes.add(path, drv); !added)
            return fail(std::move(added).error().in(path.print(m_dir)));
        if (auto good = hashes.verifyOutputPaths(drv); !good)
            return fail(std::move(good).error().in(path.print(m_dir)));
    }
    return {};
}

Result<work::NixWork> BuildAssembler::workOf(const nix::StorePath& path, Entry& entry) const
{
    work::NixWork work;
    work.drvPath = path.print(m_dir);
    work.drv = std::move(entry.text);
    std::set<nix::StorePath> inputs(entry.drv.inputSources.begin(), entry.drv.inputSources.end());
    for (const auto& [input, node] : entry.drv.inputDerivations) {
        const auto& outputs = m_derivations.at(input).drv.outputs;
        for (const auto& name : node.outputs) {
            const auto output = outputs.find(name);
            if (output == outputs.end())
                return fail(ErrorCode::Invalid, fmt::format("{} needs output \"{}\" of {}, which has none of that "
                                                            "name", work.drvPath, name, input.print(m_dir)));
            if (output->second.path) // else its build tells, and the core passes it on
                inputs.insert(*output->second.path);
        }
    }
    if (inputs.size() > kMaxInputPaths)
        return fail(ErrorCode::Exhausted, fmt::format("{} has {} inputs, more than the limit of {}", work.drvPath,
                                                      inputs.size(), kMaxInputPaths));
    for (const auto& input : inputs)
        work.inputPaths.push_back(input.print(m_dir));
    for (const auto& [name, output] : entry.drv.outputs)
        work.outputs.push_back({name, output.path ? output.path->print(m_dir) : std::string()});
    return work;
}

Result<ParsedStep> BuildAssembler::stepOf(const nix::StorePath& path, const JobFrame& frame,
                                          const std::map<nix::StorePath, std::uint32_t>& indices)
{
    auto& entry = m_derivations.at(path);
    auto needs = nix::readBuildNeeds(entry.drv);
    if (!needs)
        return fail(std::move(needs).error().in(path.print(m_dir)));
    ParsedStep step;
    step.root = false;
    step.spec.name = entry.drv.name;
    step.spec.placement = frame.placement;
    step.spec.placement.executor = "nix";
    step.spec.placement.system = needs->isBuiltin ? "builtin" : needs->system;
    std::set<std::string> features(needs->features.begin(), needs->features.end());
    features.insert(frame.placement.features.begin(), frame.placement.features.end());
    step.spec.placement.features.assign(features.begin(), features.end());
    step.spec.retry = frame.retry;
    step.spec.resources = frame.resources;
    for (const auto& [input, node] : entry.drv.inputDerivations)
        step.dependsOn.push_back(indices.at(input));
    PENSTOCK_TRY(auto work, workOf(path, entry));
    step.spec.work = std::make_shared<const work::Work>(std::move(work));
    return step;
}

Result<ParsedJob> BuildAssembler::finish(std::span<const std::string> roots, std::string_view jobJson,
                                         const Submitter& submitter) &&
{
    if (roots.empty() || roots.size() > kMaxRoots)
        return fail(ErrorCode::Invalid, fmt::format("roots: {} are given; 1 to {} are allowed", roots.size(),
                                                    kMaxRoots));
    PENSTOCK_TRY(auto frame, parseJobFrame(jobJson, submitter));
    if (!frame.placement.system.empty())
        return fail(ErrorCode::Invalid, "affinity.systems: has no place in a build; the derivations say their system");
    std::vector<nix::StorePath> rootPaths;
    for (const auto& root : roots) {
        PENSTOCK_TRY(auto path, nix::StorePath::parse(m_dir, root));
        rootPaths.push_back(std::move(path));
    }
    PENSTOCK_TRY(const auto order, this->order(rootPaths));
    PENSTOCK_TRY_VOID(verifyOutputs(order));
    ParsedJob job;
    job.spec = std::move(frame.spec);
    if (job.spec.name.empty())
        job.spec.name = jobName(rootPaths.front(), roots.size()).substr(0, kMaxNameBytes);
    job.spec.definition = definitionOf(job.spec.definition, roots);
    std::map<nix::StorePath, std::uint32_t> indices;
    job.steps.reserve(order.size());
    for (const auto& path : order) {
        PENSTOCK_TRY(auto step, stepOf(path, frame, indices));
        indices.emplace(path, static_cast<std::uint32_t>(job.steps.size()));
        job.steps.push_back(std::move(step));
    }
    for (const auto& root : rootPaths)
        job.steps[indices.at(root)].root = true;
    return job;
}

} // namespace penstock::jobs
