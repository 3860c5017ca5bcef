// SPDX-License-Identifier: GPL-3.0-or-later
// Lengths: what happens to an open step's dependents is noted as it happens and computed in settle().
#include "server/work/dag.h"

#include <algorithm>
#include <limits>
#include <queue>
#include <tuple>

namespace penstock::work {
namespace {

constexpr std::uint32_t kLookedAt = 64;    // dependents that are looked at one by one; more get a heap
constexpr std::size_t kPendingKept = 4096; // memory for so many is kept between bursts

struct Due {
    std::uint32_t length; // the old one: those above it are shorter, so they are taken before it
    std::size_t pending;  // among equals, which stand above each other only at the largest length: first come
    friend bool operator>(const Due& a, const Due& b)
    {
        return std::tie(a.length, a.pending) > std::tie(b.length, b.pending);
    }
};

} // namespace

std::uint32_t Dag::Node::length() const
{
    return above > std::numeric_limits<std::uint32_t>::max() - weight
               ? std::numeric_limits<std::uint32_t>::max()
               : above + weight;
}

std::uint32_t Dag::length(StepId step) const
{
    return lengthAt(slotOf(step));
}

std::uint32_t Dag::lengthAt(std::uint32_t slot) const
{
    const Node& node = nodeAt(slot);
    PENSTOCK_CHECK(!node.isFresh);
    return node.isOpen() ? node.length() : 0;
}

std::uint32_t Dag::openDependents(StepId step) const
{
    const Node& node = nodeOf(step);
    PENSTOCK_CHECK(!node.isFresh);
    return node.isOpen() ? node.openAbove : 0;
}

void Dag::setWeight(StepId step, std::uint32_t weight)
{
    const std::uint32_t slot = slotOf(step);
    Node& node = nodeAt(slot);
    if (node.isOpen() && !node.isFresh)
        touch(slot).weight = std::max(weight, 1U);
    else
        node.weight = std::max(weight, 1U);
}

Dag::Pending& Dag::touch(std::uint32_t slot)
{
    Node& node = nodeAt(slot);
    if (node.pending == 0) {
        m_pending.push_back({.slot = slot, .weight = node.weight, .openAbove = node.openAbove});
        node.pending = static_cast<std::uint32_t>(m_pending.size());
    }
    return m_pending[node.pending - 1];
}

void Dag::makeFresh(std::uint32_t slot)
{
    touch(slot);
    nodeAt(slot).isFresh = true;
}

// An open dependent with a length came above an open node with one.
void Dag::gained(std::uint32_t slot, std::uint32_t above)
{
    const std::uint32_t length = nodeAt(above).length();
    Pending& pending = touch(slot);
    ++pending.openAbove;
    pending.best = std::max(pending.best, length);
    pushToHeap(slot, {length, above});
}

// It ended.
void Dag::lost(std::uint32_t slot, const Node& above)
{
    Pending& pending = touch(slot);
    --pending.openAbove;
    pending.lostLongest |= above.length() >= nodeAt(slot).above;
}

// It is longer or shorter than it was.
void Dag::changed(std::uint32_t slot, Above now, std::uint32_t was)
{
    pushToHeap(slot, now);
    const std::uint32_t longest = nodeAt(slot).above;
    if (was > now.length && was >= longest) {
        touch(slot).lostLongest = true;
    } else if (now.length > longest) {
        Pending& pending = touch(slot);
        pending.best = std::max(pending.best, now.length);
    }
}

// From the topmost of the new steps downwards: each once, all edges among them once in each direction.
std::vector<std::uint32_t> Dag::settleFresh()
{
    std::vector<std::uint32_t> due;
    std::size_t fresh = 0;
    const std::size_t count = m_pending.size();
    for (std::size_t i = 0; i < count; ++i) {
        Pending& pending = m_pending[i];
        if (pending.slot == kNoSlot || !nodeAt(pending.slot).isFresh)
            continue;
        ++fresh;
        for (const std::uint32_t slot : nodeAt(pending.slot).dependents.all()) {
            const Node& above = nodeAt(slot);
            if (!above.isOpen())
                continue;
            ++pending.openAbove;
            if (above.isFresh)
                ++pending.waiting;
            else
                pending.best = std::max(pending.best, above.length());
        }
        if (pending.waiting == 0)
            due.push_back(pending.slot);
    }
    for (std::size_t done = 0; done < due.size(); ++done) {
        Node& node = nodeAt(due[done]);
        Pending& own = m_pending[node.pending - 1];
        node.above = own.best;
        node.openAbove = own.openAbove;
        node.isFresh = false;
        node.isNew = true;
        node.pending = 0;
        own.slot = kNoSlot;
        if (node.open == 0)
            continue;
        for (const std::uint32_t slot : node.dependsOn.all()) {
            const Node& below = nodeAt(slot);
            if (!below.isOpen())
                continue;
            if (!below.isFresh) {
                gained(slot, due[done]);
                continue;
            }
            Pending& pending = m_pending[below.pending - 1];
            pending.best = std::max(pending.best, node.length());
            if (--pending.waiting == 0)
                due.push_back(slot);
        }
    }
    PENSTOCK_CHECK(due.size() == fresh); // else an edge closed a cycle
    return due;
}

void Dag::settleOne(Pending pending, std::vector<Moved>& moved)
{
    Node& node = nodeAt(pending.slot);
    const Moved before{node.id, node.length(), node.openAbove};
    node.pending = 0;
    node.weight = pending.weight;
    node.openAbove = pending.openAbove;
    node.above = pending.lostLongest ? longestAbove(pending.slot) : std::max(node.above, pending.best);
    const Above now{node.length(), pending.slot};
    if (node.open == 0) {
        if (!node.isNew && before != Moved{node.id, now.length, node.openAbove})
            moved.push_back(before);
        return;
    }
    if (now.length == before.length)
        return;
    for (const std::uint32_t slot : node.dependsOn.all())
        if (nodeAt(slot).isOpen())
            changed(slot, now, before.length);
}

std::vector<Dag::Moved> Dag::settle()
{
    std::vector<Moved> moved;
    if (m_pending.empty())
        return moved;
    const std::vector<std::uint32_t> fresh = settleFresh();
    std::priority_queue<Due, std::vector<Due>, std::greater<>> due;
    for (std::size_t seen = 0; seen < m_pending.size() || !due.empty();) {
        for (; seen < m_pending.size(); ++seen)
            if (m_pending[seen].slot != kNoSlot)
                due.push({nodeAt(m_pending[seen].slot).length(), seen});
        if (due.empty())
            break;
        const std::size_t next = due.top().pending;
        due.pop();
        settleOne(m_pending[next], moved);
    }
    for (const std::uint32_t slot : fresh)
        nodeAt(slot).isNew = false;
    if (m_pending.capacity() > kPendingKept)
        std::vector<Pending>().swap(m_pending);
    m_pending.clear();
    // A step is taken twice only after edges between steps that both had lengths: what it was at first
    // counts.
    const auto byId = [](const Moved& a, const Moved& b) { return a.step < b.step; };
    std::stable_sort(moved.begin(), moved.end(), byId);
    const auto isSame = [](const Moved& a, const Moved& b) { return a.step == b.step; };
    moved.erase(std::unique(moved.begin(), moved.end(), isSame), moved.end());
    std::erase_if(moved, [this](const Moved& was) {
        const Node& node = nodeOf(was.step);
        return was.length == node.length() && was.openDependents == node.openAbove;
    });
    return moved;
}

// Of a node none of whose open dependents is fresh.
std::uint32_t Dag::longestAbove(std::uint32_t slot)
{
    Node& node = nodeAt(slot);
    if (node.dependents.size() <= kLookedAt) {
        std::uint32_t longest = 0;
        for (const std::uint32_t above : node.dependents.all())
            if (nodeAt(above).isOpen())
                longest = std::max(longest, nodeAt(above).length());
        return longest;
    }
    std::vector<Above>& heap = node.hasHeap ? m_heaps.at(slot) : fillHeap(slot);
    while (!heap.empty()) {
        const Node& top = nodeAt(heap.front().slot);
        if (top.isOpen() && top.length() == heap.front().length)
            return heap.front().length;
        std::pop_heap(heap.begin(), heap.end());
        heap.pop_back();
    }
    return 0;
}

// Entries are never taken back: those that do not hold any more are dropped when they come to the top, or
// when they are the majority.
void Dag::pushToHeap(std::uint32_t slot, Above entry)
{
    const Node& node = nodeAt(slot);
    if (!node.hasHeap)
        return;
    std::vector<Above>& heap = m_heaps.at(slot);
    if (heap.size() > 2 * std::size_t{node.dependents.size()} + kLookedAt) {
        fillHeap(slot);
        return;
    }
    heap.push_back(entry);
    std::push_heap(heap.begin(), heap.end());
}

std::vector<Dag::Above>& Dag::fillHeap(std::uint32_t slot)
{
    Node& node = nodeAt(slot);
    node.hasHeap = true;
    std::vector<Above>& heap = m_heaps[slot];
    heap.clear();
    for (const std::uint32_t above : node.dependents.all())
        if (nodeAt(above).isOpen() && !nodeAt(above).isFresh)
            heap.push_back({nodeAt(above).length(), above});
    std::make_heap(heap.begin(), heap.end());
    return heap;
}

void Dag::dropHeap(std::uint32_t slot)
{
    if (!nodeAt(slot).hasHeap)
        return;
    nodeAt(slot).hasHeap = false;
    m_heaps.erase(slot);
}

} // namespace penstock::work
