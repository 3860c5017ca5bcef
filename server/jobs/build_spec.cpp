// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/jobs/build_spec.h"

#include "server/jobs/input_paths.h"
#include "server/jobs/json_text.h"
#include "server/jobs/object_reader.h"
#include "shared/nix/build_needs.h"

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
    if (count() >= kMaxDerivations)
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
    if (isKnown(storePath) || m_waiting.contains(storePath))
        return {};
    Entry entry{*std::move(drv), std::string(text)};
    const bool isReady = std::ranges::all_of(entry.drv.inputDerivations,
                                             [this](const auto& input) { return isKnown(input.first); });
    if (isReady)
        return settle(storePath, std::move(entry));
    m_waiting.emplace(std::move(storePath), std::move(entry));
    return {};
}

// A daemon that trusts its builder takes output paths as stated, so wrong ones must not come in here.
Result<void> BuildAssembler::settle(const nix::StorePath& path, Entry entry)
{
    if (auto good = m_hashes.addVerified(path, entry.drv); !good)
        return fail(std::move(good).error().in(path.print(m_dir)));
    auto needs = nix::readBuildNeeds(entry.drv);
    if (!needs)
        return fail(std::move(needs).error().in(path.print(m_dir)));
    Node node;
    node.name = entry.drv.name;
    node.system = needs->isBuiltin ? "builtin" : std::move(needs->system);
    node.features.assign(needs->features.begin(), needs->features.end());
    node.inputs.reserve(entry.drv.inputDerivations.size());
    for (const auto& [input, outputs] : entry.drv.inputDerivations)
        node.inputs.push_back(m_indices.at(input));
    PENSTOCK_TRY(auto work, workOf(path, entry));
    node.work = std::make_shared<const work::Work>(std::move(work));
    m_indices.emplace(path, static_cast<std::uint32_t>(m_nodes.size()));
    m_nodes.push_back(std::move(node));
    return {};
}

// What came too early and is needed. Depth first without recursion; a cycle cannot be, as each path is a hash of the
// texts below it.
Result<void> BuildAssembler::settleWaiting(const nix::StorePath& root)
{
    struct Visit {
        nix::StorePath path;
        Entry entry;
        std::vector<nix::StorePath> below;
    };
    std::vector<Visit> stack;
    const auto enter = [&](const nix::StorePath& path) -> Result<void> {
        auto found = m_waiting.extract(path);
        if (found.empty())
            return fail(ErrorCode::Invalid,
                        fmt::format("derivation {} was not sent{}", path.print(m_dir),
                                    stack.empty() ? " with the build that names it as a root"
                                                  : ", but " + stack.back().path.print(m_dir) + " needs it"));
        Visit visit{path, std::move(found.mapped()), {}};
        for (const auto& [input, node] : visit.entry.drv.inputDerivations)
            visit.below.push_back(input);
        stack.push_back(std::move(visit));
        return {};
    };
    if (!isKnown(root))
        PENSTOCK_TRY_VOID(enter(root));
    while (!stack.empty()) {
        if (stack.back().below.empty()) {
            PENSTOCK_TRY_VOID(settle(stack.back().path, std::move(stack.back().entry)));
            stack.pop_back();
            continue;
        }
        const nix::StorePath next = std::move(stack.back().below.back());
        stack.back().below.pop_back();
        if (!isKnown(next))
            PENSTOCK_TRY_VOID(enter(next));
    }
    return {};
}

std::vector<bool> BuildAssembler::neededBy(std::span<const nix::StorePath> roots) const
{
    std::vector<bool> needed(m_nodes.size(), false);
    for (const nix::StorePath& root : roots)
        needed[m_indices.at(root)] = true;
    for (std::size_t at = m_nodes.size(); at-- > 0;)
        if (needed[at])
            for (const std::uint32_t input : m_nodes[at].inputs)
                needed[input] = true;
    return needed;
}

Result<work::NixWork> BuildAssembler::workOf(const nix::StorePath& path, Entry& entry) const
{
    work::NixWork work;
    work.drvPath = path.print(m_dir);
    work.drv = std::move(entry.text);
    const auto outputsOf = [this](const nix::StorePath& input) -> Result<const std::vector<work::NixOutput>*> {
        return &std::get<work::NixWork>(*m_nodes[m_indices.at(input)].work).outputs;
    };
    PENSTOCK_TRY(work.inputPaths, inputPaths(m_dir, path, entry.drv, outputsOf));
    work.outputs = statedOutputs(m_dir, entry.drv);
    return work;
}

ParsedStep BuildAssembler::stepOf(Node& node, const JobFrame& frame) const
{
    ParsedStep step;
    step.root = false;
    step.spec.name = std::move(node.name);
    step.spec.placement = frame.placement;
    step.spec.placement.executor = "nix";
    step.spec.placement.system = std::move(node.system);
    std::set<std::string> features(node.features.begin(), node.features.end());
    features.insert(frame.placement.features.begin(), frame.placement.features.end());
    step.spec.placement.features.assign(features.begin(), features.end());
    step.spec.retry = frame.retry;
    step.spec.resources = frame.resources;
    step.spec.work = std::move(node.work);
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
    for (const auto& root : rootPaths)
        PENSTOCK_TRY_VOID(settleWaiting(root));
    ParsedJob job;
    job.spec = std::move(frame.spec);
    if (job.spec.name.empty())
        job.spec.name = jobName(rootPaths.front(), roots.size()).substr(0, kMaxNameBytes);
    job.spec.definition = definitionOf(job.spec.definition, roots);
    const std::vector<bool> needed = neededBy(rootPaths);
    std::vector<std::uint32_t> places(m_nodes.size());
    for (std::size_t at = 0; at < m_nodes.size(); ++at) {
        if (!needed[at])
            continue;
        places[at] = static_cast<std::uint32_t>(job.steps.size());
        job.steps.push_back(stepOf(m_nodes[at], frame));
        for (const std::uint32_t input : m_nodes[at].inputs)
            job.steps.back().dependsOn.push_back(places[input]);
    }
    for (const auto& root : rootPaths)
        job.steps[places[m_indices.at(root)]].root = true;
    return job;
}

} // namespace penstock::jobs
