// SPDX-License-Identifier: GPL-3.0-or-later
// The last part of ChunkWalk: from the graph to jobs.
#include "server/hydra/build_loader.h"
#include "server/hydra/side_tables.h"
#include "server/jobs/job_spec.h"
#include "server/jobs/json_text.h"
#include "shared/base/check.h"
#include "shared/base/text.h"

#include <algorithm>
#include <fmt/format.h>
#include <memory>
#include <utility>

namespace penstock::hydra {
namespace {

// Whoever wants no limit writes the largest number there is, 68 years; builders take one of a year.
Duration limitOf(std::optional<std::int32_t> seconds, Duration otherwise)
{
    return seconds && *seconds >= 0 ? std::min(Duration(std::chrono::seconds(*seconds)), jobs::kMaxTimeout) : otherwise;
}

std::string bounded(std::string_view text)
{
    std::string valid = toValidUtf8(text);
    while (valid.size() > jobs::kMaxNameBytes || !isUtf8(valid)) // never half a character
        valid.resize(std::min(valid.size() - 1, jobs::kMaxNameBytes));
    return valid;
}

std::string definitionOf(const QueuedBuild& build)
{
    std::string json = fmt::format("{{\"build\":{}", build.id);
    const auto add = [&json](std::string_view key, std::string_view value) {
        json += fmt::format(",\"{}\":", key);
        jobs::appendJsonString(json, value);
    };
    add("project", build.project);
    add("jobset", build.jobset);
    add("job", build.job);
    add("drv", build.drvPath);
    json.push_back('}');
    return json;
}

} // namespace

work::JobSpec jobSpecOf(const QueuedBuild& build, const Options& options)
{
    work::JobSpec spec;
    spec.name = bounded(build.job);
    spec.user = "hydra";
    spec.nameSpace = kNameSpace;
    spec.shareGroup = build.group();
    spec.priority = build.priority;
    spec.limits.timeout = limitOf(build.timeout, options.timeout);
    spec.limits.silentTimeout = limitOf(build.maxSilent, options.maxSilent);
    spec.limits.maxLogBytes = options.maxLogBytes;
    spec.limits.maxOutputBytes = options.maxOutputBytes;
    if (const auto repeats = options.repeats.find(build.group()); repeats != options.repeats.end())
        spec.limits.repeats = repeats->second;
    spec.sourceId = static_cast<std::uint64_t>(build.id);
    spec.definition = definitionOf(build);
    return spec;
}

jobs::ParsedStep ChunkWalk::referenceTo(Node& node) const
{
    if (node.work == nullptr) {
        auto work = std::make_shared<work::Work>(work::NixWork{});
        std::get<work::NixWork>(*work).drvPath = node.path.print(m_dir);
        node.work = std::move(work);
    }
    jobs::ParsedStep step;
    step.spec.work = node.work;
    step.root = false;
    step.isReference = true;
    return step;
}

jobs::ParsedStep ChunkWalk::stepOf(Node& node) const
{
    auto work = std::make_shared<work::Work>(work::NixWork{});
    auto& nix = std::get<work::NixWork>(*work);
    nix.drvPath = node.path.print(m_dir);
    nix.outputs = std::move(node.derivation.outputs);
    std::string system = std::move(node.derivation.system);
    if (node.derivation.isBuiltin)
        nix.platform = std::exchange(system, "builtin");
    jobs::ParsedStep step;
    step.root = false;
    step.spec.name = std::move(node.derivation.name);
    step.spec.placement.executor = "nix";
    step.spec.placement.system = std::move(system);
    step.spec.placement.features = std::move(node.derivation.features);
    node.work = std::move(work);
    step.spec.work = node.work;
    return step;
}

// Inputs before what needs them, the root last. Depth first without recursion.
jobs::ParsedJob ChunkWalk::jobOf(const Build& build, LoadedChunk& chunk)
{
    jobs::ParsedJob job;
    job.spec = jobSpecOf(build.row, m_options);
    job.claimsRootsOnly = true;
    if (build.row.globalPriority > 0)
        job.bumped = WallTime{std::chrono::seconds(build.row.globalPriority)};
    struct Visit {
        std::uint32_t node;
        std::size_t next;
    };
    std::vector<Visit> stack;
    ++m_visit;
    const auto enter = [&](std::uint32_t index) {
        Node& node = m_nodes[index];
        if (node.visit == m_visit || node.state == State::Present)
            return;
        node.visit = m_visit;
        if (node.state == State::Live || node.isListed) {
            if (node.state == State::Live)
                chunk.referenced.emplace_back(node.path);
            node.place = static_cast<std::uint32_t>(job.steps.size());
            job.steps.push_back(referenceTo(node));
            return;
        }
        PENSTOCK_CHECK(node.state == State::Absent); // else the build would be tainted, or the walk not over
        stack.push_back({index, 0});
    };
    enter(build.root);
    while (!stack.empty()) {
        Visit& visit = stack.back();
        Node& node = m_nodes[visit.node];
        if (visit.next < node.inputs.size()) {
            enter(node.inputs[visit.next++]);
            continue;
        }
        jobs::ParsedStep step = stepOf(node);
        for (const std::uint32_t input : node.inputs)
            if (m_nodes[input].state != State::Present)
                step.dependsOn.push_back(m_nodes[input].place);
        node.isListed = true;
        node.place = static_cast<std::uint32_t>(job.steps.size());
        job.steps.push_back(std::move(step));
        chunk.listed.emplace_back(node.path);
        m_memory.addLive(chunk.listed.back());
        stack.pop_back();
    }
    job.steps.back().root = true;
    return job;
}

} // namespace penstock::hydra
