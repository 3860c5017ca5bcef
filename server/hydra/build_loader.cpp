// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/hydra/build_loader.h"

#include <algorithm>
#include <fmt/format.h>
#include <functional>
#include <optional>
#include <utility>

namespace penstock::hydra {

ChunkWalk::ChunkWalk(const nix::StoreDir& dir, const Options& options, PassMemory& memory,
                     std::vector<QueuedBuild> builds, Limits limits)
    : m_dir(dir), m_options(options), m_memory(memory), m_limits(limits)
{
    m_builds.reserve(builds.size());
    for (QueuedBuild& row : builds)
        addBuild(std::move(row));
}

// Somebody may have given it another derivation since it was listed: one of which no more is known than that it is
// there, or one below builds that were postponed.
void ChunkWalk::add(QueuedBuild row)
{
    addBuild(std::move(row));
    Build& build = m_builds.back();
    const Node* root = build.problem.empty() ? &m_nodes[build.root] : nullptr;
    build.isPostponed = root != nullptr && (root->state != State::Absent || root->visit != m_visit);
}

void ChunkWalk::addBuild(QueuedBuild row)
{
    Build build;
    build.row = std::move(row);
    const auto path = nix::StorePath::parse(m_dir, build.row.drvPath);
    if (!path)
        build.problem = path.error().message;
    else if (!path->isDerivation())
        build.problem = fmt::format("{} is no derivation", build.row.drvPath);
    else
        build.root = nodeOf(*path, true);
    m_builds.push_back(std::move(build));
}

// Roots come first, so that one whose outputs are known to be there is read all the same: what they are called goes
// into the build's rows.
std::uint32_t ChunkWalk::nodeOf(const nix::StorePath& path, bool isRoot)
{
    const auto [entry, isNew] = m_indices.try_emplace(path, static_cast<std::uint32_t>(m_nodes.size()));
    const std::uint32_t index = entry->second;
    if (!isNew)
        return index;
    Node& node = m_nodes.emplace_back(path);
    node.isRoot = isRoot;
    const DrvKey key(path);
    node.failure = m_memory.failed(key);
    if (m_limits.takesLive && m_memory.isLive(key)) {
        node.state = State::Live;
    } else if (node.failure != nullptr) {
        node.state = State::Failed;
        taint(index, index);
    } else if (!isRoot && m_memory.isPresent(key)) {
        node.state = State::Present;
    } else {
        m_frontier.push_back(index);
    }
    return index;
}

// What is wrong with a derivation is wrong with all that need it.
void ChunkWalk::taint(std::uint32_t node, std::uint32_t cause)
{
    if (m_nodes[node].isTainted)
        return;
    m_mustSweep = true;
    m_nodes[node].isTainted = true;
    m_nodes[node].cause = cause;
    std::vector<std::uint32_t> queue{node};
    while (!queue.empty()) {
        const std::uint32_t at = queue.back();
        queue.pop_back();
        for (const std::uint32_t dependent : m_nodes[at].dependents) {
            if (m_nodes[dependent].isTainted)
                continue;
            m_nodes[dependent].isTainted = true;
            m_nodes[dependent].cause = cause;
            queue.push_back(dependent);
        }
    }
}

bool ChunkWalk::isActive(const Build& build) const
{
    return build.problem.empty() && !build.isPostponed && !m_nodes[build.root].isTainted;
}

std::vector<std::uint32_t> ChunkWalk::activeRoots() const
{
    std::vector<std::uint32_t> roots;
    for (const Build& build : m_builds)
        if (isActive(build))
            roots.push_back(build.root);
    return roots;
}

// How many derivations are looked at for the roots; those that are not read yet go into `unread`.
std::size_t ChunkWalk::reach(const std::vector<std::uint32_t>& roots, std::vector<std::uint32_t>* unread)
{
    ++m_visit;
    std::size_t count = 0;
    std::vector<std::uint32_t> queue;
    const auto enter = [&](std::uint32_t index) {
        Node& node = m_nodes[index];
        if (node.visit == m_visit)
            return;
        node.visit = m_visit;
        if (node.state == State::Absent)
            queue.push_back(index);
        else if (node.state != State::Unread)
            return;
        else if (unread != nullptr)
            unread->push_back(index);
        ++count;
    };
    for (const std::uint32_t root : roots)
        enter(root);
    while (!queue.empty()) {
        const std::uint32_t at = queue.back();
        queue.pop_back();
        for (const std::uint32_t input : m_nodes[at].inputs)
            enter(input);
    }
    return count;
}

// What only builds need that are done with, or postponed, is not read.
void ChunkWalk::sweep()
{
    for (;;) {
        m_frontier.clear();
        const std::size_t count = reach(activeRoots(), &m_frontier);
        if (count <= m_limits.maxNodes || m_frontier.empty() || !postponeLargest())
            return;
    }
}

// Those that need at least half as much as the one that needs most; a quarter of all at a time, as counting costs a
// walk for each.
bool ChunkWalk::postponeLargest()
{
    std::vector<std::pair<std::size_t, Build*>> bySize;
    std::size_t active = 0;
    for (Build& build : m_builds) {
        if (!isActive(build))
            continue;
        ++active;
        std::vector<std::uint32_t> unread;
        const std::size_t count = reach({build.root}, &unread);
        if (!unread.empty())
            bySize.emplace_back(count, &build);
    }
    std::ranges::sort(bySize, std::greater{}, [](const auto& each) { return each.first; });
    for (std::size_t at = 0; at < bySize.size() && at <= active / 4; ++at)
        if (bySize[at].first * 2 >= bySize.front().first)
            bySize[at].second->isPostponed = true;
    return !bySize.empty();
}

std::vector<nix::StorePath> ChunkWalk::toRead()
{
    expandLevel();
    if (m_mustSweep || m_nodes.size() > m_limits.maxNodes) {
        sweep();
        m_mustSweep = false;
    }
    m_level = std::exchange(m_frontier, {});
    std::vector<nix::StorePath> paths;
    paths.reserve(m_level.size());
    for (const std::uint32_t index : m_level)
        paths.push_back(m_nodes[index].path);
    return paths;
}

// The inputs of what is to be built are looked at next.
void ChunkWalk::expandLevel()
{
    std::vector<std::uint32_t> level = std::exchange(m_level, {});
    for (std::size_t at = 0; at < level.size(); ++at) { // it grows
        const std::uint32_t index = level[at];
        if (m_nodes[index].state != State::Absent || m_nodes[index].isTainted)
            continue;
        std::optional<std::uint32_t> cause;
        const std::vector<nix::StorePath> paths = std::move(m_nodes[index].derivation.inputs);
        std::vector<std::uint32_t> inputs;
        inputs.reserve(paths.size());
        for (const nix::StorePath& path : paths) {
            const std::uint32_t input = nodeOf(path, false); // may move the nodes
            inputs.push_back(input);
            m_nodes[input].dependents.push_back(index);
            if (m_nodes[input].state == State::Recorded) {
                forgetRecorded(m_nodes[input]);
                level.push_back(input);
            }
            if (m_nodes[input].isTainted && !cause)
                cause = m_nodes[input].cause;
        }
        m_nodes[index].inputs = std::move(inputs);
        if (cause)
            taint(index, *cause);
    }
}

void ChunkWalk::forgetRecorded(Node& node)
{
    node.state = State::Absent;
    for (work::NixOutput& output : node.derivation.outputs)
        output.path.clear();
}

void ChunkWalk::read(const nix::StorePath& path, Reading reading)
{
    const std::uint32_t index = m_indices.at(path);
    Node& node = m_nodes[index];
    ++m_readCount;
    if (auto* derivation = std::get_if<ReadDerivation>(&reading)) {
        node.derivation = std::move(*derivation);
        node.state = node.derivation.knowsOutputs() ? State::Read : State::Absent;
        return;
    }
    node.state = State::Unreadable;
    if (auto* broken = std::get_if<DerivationBroken>(&reading))
        node.problem = std::move(broken->why);
    taint(index, index);
}

std::vector<std::string> ChunkWalk::toLookUp() const
{
    std::vector<std::string> paths;
    for (const std::uint32_t index : m_level) {
        const Node& node = m_nodes[index];
        if (node.isRoot && node.state == State::Absent && !node.derivation.knowsOutputs())
            paths.push_back(node.path.print(m_dir));
    }
    return paths;
}

void ChunkWalk::recorded(const RecordedOutputs& outputs)
{
    for (const std::uint32_t index : m_level) {
        Node& node = m_nodes[index];
        const auto found = outputs.find(node.path.print(m_dir));
        if (found == outputs.end() || node.state != State::Absent)
            continue;
        for (work::NixOutput& output : node.derivation.outputs)
            if (const auto each = std::ranges::find(found->second, output.name, &work::NixOutput::name);
                each != found->second.end())
                output.path = each->path;
        node.isRecorded = true;
        node.state = State::Read;
    }
}

nix::StorePathSet ChunkWalk::toFind() const
{
    nix::StorePathSet paths;
    for (const std::uint32_t index : m_level) {
        if (m_nodes[index].state != State::Read)
            continue;
        for (const work::NixOutput& output : m_nodes[index].derivation.outputs)
            if (auto path = nix::StorePath::parse(m_dir, output.path))
                paths.insert(*std::move(path));
    }
    return paths;
}

void ChunkWalk::found(const nix::StorePathSet& present)
{
    for (const std::uint32_t index : m_level) {
        Node& node = m_nodes[index];
        if (node.state != State::Read)
            continue;
        const bool isThere = arePresent(node, present);
        if (node.isRecorded) {
            node.state = State::Recorded;
            if (!isThere)
                forgetRecorded(node);
            continue;
        }
        node.state = isThere ? State::Present : State::Absent;
        if (isThere)
            m_memory.addPresent(DrvKey(node.path));
    }
}

bool ChunkWalk::arePresent(const Node& node, const nix::StorePathSet& present) const
{
    return std::ranges::all_of(node.derivation.outputs, [&](const work::NixOutput& output) {
        const auto path = nix::StorePath::parse(m_dir, output.path);
        return path && present.contains(*path);
    });
}

std::vector<nix::StorePathSet> ChunkWalk::toFetch() const
{
    std::vector<nix::StorePathSet> all;
    for (const std::uint32_t index : m_level) {
        const Node& node = m_nodes[index];
        if (node.state != State::Absent || !node.derivation.allowsSubstitutes || !node.derivation.knowsOutputs())
            continue;
        nix::StorePathSet paths;
        for (const work::NixOutput& output : node.derivation.outputs)
            if (auto path = nix::StorePath::parse(m_dir, output.path))
                paths.insert(*std::move(path));
        all.push_back(std::move(paths));
    }
    return all;
}

void ChunkWalk::fetched(const nix::StorePathSet& present)
{
    for (const std::uint32_t index : m_level) {
        Node& node = m_nodes[index];
        if (node.state != State::Absent || !arePresent(node, present))
            continue;
        node.state = State::Present;
        node.wasFetched = true;
        m_memory.addPresent(DrvKey(node.path));
    }
}

// Each for the first build that needs it.
std::vector<LoadedChunk::Fetched> ChunkWalk::fetchedFor() const
{
    std::vector<LoadedChunk::Fetched> all;
    std::vector<bool> isSeen(m_nodes.size(), false);
    for (const Build& build : m_builds) {
        std::vector<std::uint32_t> queue;
        if (build.problem.empty())
            queue.push_back(build.root);
        while (!queue.empty()) {
            const std::uint32_t at = queue.back();
            queue.pop_back();
            if (isSeen[at])
                continue;
            isSeen[at] = true;
            if (m_nodes[at].wasFetched)
                all.push_back({build.row.id, m_nodes[at].path.print(m_dir), m_nodes[at].derivation.outputs});
            queue.insert(queue.end(), m_nodes[at].inputs.begin(), m_nodes[at].inputs.end());
        }
    }
    return all;
}

std::vector<std::string> ChunkWalk::toCheck() const
{
    std::vector<std::string> paths;
    for (const std::uint32_t index : m_level)
        if (m_nodes[index].state == State::Absent)
            for (const work::NixOutput& output : m_nodes[index].derivation.outputs)
                if (!output.path.empty())
                    paths.push_back(output.path);
    return paths;
}

void ChunkWalk::failed(const std::set<std::string>& paths)
{
    for (const std::uint32_t index : m_level) {
        Node& node = m_nodes[index];
        const auto hasFailed = [&](const work::NixOutput& output) { return paths.contains(output.path); };
        if (node.state != State::Absent || std::ranges::none_of(node.derivation.outputs, hasFailed))
            continue;
        node.state = State::Failed;
        node.failure = std::make_shared<const FailedDerivation>(
            FailedDerivation{node.path.print(m_dir), node.derivation.system, node.derivation.outputs});
        taint(index, index);
    }
}

void ChunkWalk::rememberFailures()
{
    for (const Node& node : m_nodes)
        if (node.isTainted && m_nodes[node.cause].failure != nullptr)
            m_memory.addFailed(DrvKey(node.path), m_nodes[node.cause].failure);
}

std::vector<DrvKey> ChunkWalk::toBeBuilt()
{
    reach(activeRoots(), nullptr);
    std::vector<DrvKey> keys;
    for (const Node& node : m_nodes)
        if (node.state == State::Absent && node.visit == m_visit)
            keys.emplace_back(node.path);
    std::ranges::reverse(keys);
    return keys;
}

LoadedChunk ChunkWalk::finish() &&
{
    LoadedChunk chunk;
    rememberFailures();
    chunk.fetched = fetchedFor();
    for (Build& build : m_builds) {
        if (!build.problem.empty()) {
            chunk.unreadable.push_back({std::move(build.row), std::move(build.problem)});
            continue;
        }
        const Node& root = m_nodes[build.root];
        const Node& cause = m_nodes[root.cause];
        const bool isRead = root.state != State::Unread;
        if (build.isPostponed || !isRead) {
            chunk.postponed.push_back(build.row.id);
        } else if (root.isTainted && cause.failure != nullptr) {
            chunk.failed.push_back({std::move(build.row), cause.failure});
        } else if (root.isTainted) {
            std::string why = cause.problem;
            if (root.cause != build.root)
                why = fmt::format("needs {}, which {}", cause.path.print(m_dir),
                                  why.empty() ? "is gone from the store" : why);
            chunk.unreadable.push_back({std::move(build.row), std::move(why)});
        } else if (root.state == State::Present || root.state == State::Recorded) {
            chunk.present.push_back({std::move(build.row), root.derivation.outputs});
        } else {
            auto job = jobOf(build, chunk);
            chunk.jobs.push_back({std::move(build.row), std::move(job)});
        }
    }
    return chunk;
}

} // namespace penstock::hydra
