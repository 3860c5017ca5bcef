// SPDX-License-Identifier: GPL-3.0-or-later
// The Dag against a computation from nothing, for tests and the simulator: every count, edge and length.
#include "server/work/dag.h"

#include <algorithm>
#include <fmt/format.h>
#include <limits>

namespace penstock::work {

Result<void> Dag::checkNode(const Node& node) const
{
    const auto wrong = [&](const std::string& what) {
        return fail(ErrorCode::Internal, fmt::format("step {} {}", node.id.value(), what));
    };
    std::uint32_t open = 0;
    std::uint32_t gone = 0;
    for (const std::uint32_t slot : node.dependsOn.all()) {
        const Node& below = nodeAt(slot);
        gone += below.place == Place::Live ? 0U : 1U;
        open += below.isOpen() ? 1U : 0U;
        if (below.place == Place::Live && below.outcome == Outcome::Bad && node.outcome != Outcome::Bad)
            return wrong(fmt::format("is not failed though {} under it is", below.id.value()));
    }
    if (gone != node.dependsOn.gone())
        return wrong(
            fmt::format("counts {} dependencies that are gone, not {}", node.dependsOn.gone(), gone));
    if (open != node.open)
        return wrong(fmt::format("says it waits for {} steps, but {} are open", node.open, open));
    if (open != 0 && node.outcome == Outcome::Good)
        return wrong("succeeded before its dependencies");
    gone = 0;
    std::uint32_t needed = 0;
    for (const std::uint32_t slot : node.dependents.all()) {
        gone += nodeAt(slot).place == Place::Live ? 0U : 1U;
        needed += nodeAt(slot).place == Place::Live && nodeAt(slot).isOpen() ? 1U : 0U;
    }
    if (needed != node.needed)
        return wrong(fmt::format("counts {} open dependents, not {}", node.needed, needed));
    if (gone != node.dependents.gone())
        return wrong(fmt::format("counts {} dependents that are gone, not {}", node.dependents.gone(), gone));
    if (node.hasHeap && (!node.isOpen() || m_heaps.count(m_index.find(node.id)) == 0))
        return wrong("has lost its heap");
    const auto jobs = users(node.id);
    if (!std::is_sorted(jobs.begin(), jobs.end()) ||
        std::adjacent_find(jobs.begin(), jobs.end()) != jobs.end())
        return wrong("has users out of order");
    return {};
}

// Both directions name the same edges, and each slot is live, free, or kept for exactly the lists that name
// it.
Result<void> Dag::checkEdges() const
{
    std::vector<std::pair<std::uint32_t, std::uint32_t>> down;
    std::vector<std::pair<std::uint32_t, std::uint32_t>> up;
    std::vector<std::uint32_t> named(m_used, 0);
    m_index.forEach([&](std::uint32_t slot) {
        for (const std::uint32_t below : nodeAt(slot).dependsOn.all())
            if (nodeAt(below).place == Place::Live)
                down.emplace_back(slot, below);
            else
                ++named[below];
        for (const std::uint32_t above : nodeAt(slot).dependents.all())
            if (nodeAt(above).place == Place::Live)
                up.emplace_back(above, slot);
            else
                ++named[above];
    });
    std::sort(down.begin(), down.end());
    std::sort(up.begin(), up.end());
    if (down != up) {
        const auto at = std::mismatch(down.begin(), down.end(), up.begin(), up.end());
        const auto edge = at.first != down.end() ? *at.first : *at.second;
        return fail(ErrorCode::Internal,
                    fmt::format("only one of steps {} and {} knows that the first depends on the second",
                                nodeAt(edge.first).id.value(), nodeAt(edge.second).id.value()));
    }
    std::size_t gone = 0;
    for (std::uint32_t slot = 0; slot < m_used; ++slot) {
        if (nodeAt(slot).place == Place::Live)
            continue;
        ++gone;
        if (named[slot] == 0 || named[slot] != nodeAt(slot).open)
            return fail(ErrorCode::Internal, fmt::format("slot {} is kept for {} lists, but {} name it", slot,
                                                         nodeAt(slot).open, named[slot]));
    }
    if (size() + gone + m_free.size() != m_used)
        return fail(ErrorCode::Internal,
                    fmt::format("{} steps, {} gone and {} free slots are not the {} in use", size(), gone,
                                m_free.size(), m_used));
    return {};
}

Result<void> Dag::checkLengths() const
{
    std::vector<std::uint32_t> waiting(m_used, 0); // open dependents whose length is not computed yet
    std::vector<std::uint32_t> count(m_used, 0);
    std::vector<std::uint32_t> longest(m_used, 0);
    std::vector<std::uint32_t> due;
    m_index.forEach([&](std::uint32_t slot) {
        if (!nodeAt(slot).isOpen())
            return;
        for (const StepId above : Steps(*this, nodeAt(slot).dependents))
            count[slot] += nodeOf(above).isOpen() ? 1U : 0U;
        waiting[slot] = count[slot];
        if (waiting[slot] == 0)
            due.push_back(slot);
    });
    for (std::size_t done = 0; done < due.size(); ++done) {
        const Node& node = nodeAt(due[done]);
        const std::uint64_t exact = std::uint64_t{node.weight} + longest[due[done]];
        const auto length = static_cast<std::uint32_t>(
            std::min<std::uint64_t>(exact, std::numeric_limits<std::uint32_t>::max()));
        if (node.isFresh || length != node.length() || count[due[done]] != node.openAbove)
            return fail(ErrorCode::Internal,
                        fmt::format("step {} has length {} and {} open dependents, not {} and {}",
                                    node.id.value(), length, count[due[done]], node.length(),
                                    node.openAbove));
        for (const std::uint32_t below : node.dependsOn.all()) {
            if (!nodeAt(below).isOpen())
                continue;
            longest[below] = std::max(longest[below], length);
            if (--waiting[below] == 0)
                due.push_back(below);
        }
    }
    return {};
}

Result<void> Dag::check() const
{
    Result<void> result;
    m_index.forEach([&](std::uint32_t slot) {
        if (result)
            result = checkNode(nodeAt(slot));
    });
    if (result)
        result = checkEdges();
    if (result && m_pending.empty())
        result = checkLengths();
    return result;
}

} // namespace penstock::work
