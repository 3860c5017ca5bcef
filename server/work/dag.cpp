// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/work/dag.h"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

namespace penstock::work {
namespace {

constexpr std::size_t kNamedInCycle = 8;

// What Kahn's algorithm leaves over contains a cycle: follow unfinished dependencies until one repeats.
Error describeCycle(std::span<const std::vector<std::uint32_t>* const> dependsOn,
                    const std::vector<std::uint32_t>& waiting)
{
    std::uint32_t at = 0;
    while (waiting[at] == 0)
        ++at;
    std::vector<bool> seen(dependsOn.size(), false);
    const auto forward = [&](std::uint32_t from) {
        for (const std::uint32_t to : *dependsOn[from])
            if (waiting[to] != 0)
                return to;
        return from;
    };
    while (!seen[at]) {
        seen[at] = true;
        at = forward(at);
    }
    std::string names = fmt::format("{}", at);
    std::size_t named = 1;
    for (std::uint32_t step = forward(at); step != at && named < kNamedInCycle; step = forward(step), ++named)
        names += fmt::format(", {}", step);
    return Error{ErrorCode::Invalid,
                 fmt::format("the steps depend on each other in a circle (indices {}{}); remove one of these "
                             "dependencies",
                             names, named == kNamedInCycle ? ", ..." : "")};
}

} // namespace

Result<std::vector<std::uint32_t>>
topologicalOrder(std::span<const std::vector<std::uint32_t>* const> dependsOn)
{
    const std::size_t count = dependsOn.size();
    std::vector<std::uint32_t> waiting(count, 0);
    std::vector<std::size_t> ends(count + 1,
                                  0); // of each element's dependents in one array, once they are placed
    for (std::size_t step = 0; step < count; ++step) {
        for (const std::uint32_t dependency : *dependsOn[step]) {
            if (dependency >= count)
                return fail(ErrorCode::Invalid,
                            fmt::format("step {} depends on step {}, but there are only {}", step, dependency,
                                        count));
            ++ends[dependency + 1];
            ++waiting[step];
        }
    }
    for (std::size_t step = 0; step < count; ++step)
        ends[step + 1] += ends[step];
    std::vector<std::uint32_t> dependents(ends[count]);
    const std::vector<std::size_t> begins = ends;
    for (std::size_t step = 0; step < count; ++step)
        for (const std::uint32_t dependency : *dependsOn[step])
            dependents[ends[dependency]++] = static_cast<std::uint32_t>(step);
    std::vector<std::uint32_t> order;
    order.reserve(count);
    for (std::size_t step = 0; step < count; ++step)
        if (waiting[step] == 0)
            order.push_back(static_cast<std::uint32_t>(step));
    for (std::size_t done = 0; done < order.size(); ++done)
        for (std::size_t at = begins[order[done]]; at < ends[order[done]]; ++at)
            if (--waiting[dependents[at]] == 0)
                order.push_back(dependents[at]);
    if (order.size() != count)
        return fail(describeCycle(dependsOn, waiting));
    return order;
}

std::uint32_t Dag::slotOf(StepId step) const
{
    const std::uint32_t slot = m_index.find(step);
    PENSTOCK_CHECK(slot != kNoSlot);
    return slot;
}

std::uint32_t Dag::takeSlot()
{
    if (!m_free.empty()) {
        const std::uint32_t slot = m_free.back();
        m_free.pop_back();
        return slot;
    }
    PENSTOCK_CHECK(m_used < kNoSlot);
    if (m_used % kChunkSize == 0)
        m_chunks.push_back(std::make_unique<std::array<Node, kChunkSize>>());
    return m_used++;
}

void Dag::add(StepId step, Outcome outcome, std::uint32_t weight)
{
    const std::uint32_t slot = takeSlot();
    m_index.insert(step, slot);
    Node& node = nodeAt(slot);
    node.id = step;
    node.outcome = outcome;
    node.weight = std::max(weight, 1U);
    if (node.isOpen())
        makeFresh(slot);
}

void Dag::addDependency(StepId step, StepId dependsOn)
{
    const std::uint32_t above = slotOf(step);
    const std::uint32_t below = slotOf(dependsOn);
    Node& node = nodeAt(above);
    Node& dependency = nodeAt(below);
    node.dependsOn.push(below);
    dependency.dependents.push(above);
    dependency.needed += node.isOpen() ? 1U : 0U;
    if (!dependency.isOpen())
        return;
    ++node.open;
    if (node.isOpen() && !node.isFresh && !dependency.isFresh)
        gained(below, above);
}

// What is open below has one open dependent less.
void Dag::close(Node& node, Outcome outcome)
{
    if (!node.isFresh && node.open != 0) // first, by the length that they counted
        for (const std::uint32_t slot : node.dependsOn.all())
            if (nodeAt(slot).isOpen() && !nodeAt(slot).isFresh)
                lost(slot, node);
    if (node.pending != 0) {
        Pending& pending = m_pending[node.pending - 1];
        if (!node.isFresh)
            node.weight = pending.weight;
        pending.slot = kNoSlot;
        node.pending = 0;
    }
    if (node.hasHeap)
        dropHeap(slotOf(node.id));
    node.outcome = outcome;
    node.isFresh = false;
    node.above = 0;
    node.openAbove = 0;
    for (const std::uint32_t slot : node.dependsOn.all())
        if (nodeAt(slot).place == Place::Live)
            leave(nodeAt(slot));
}

// One open dependent less.
void Dag::leave(Node& below)
{
    PENSTOCK_CHECK(below.needed > 0);
    --below.needed;
    if (below.isLeft || (!below.isOpen() && (below.needed != 0 || below.user != JobId(0))))
        return;
    below.isLeft = true;
    m_left.push_back(below.id);
}

std::vector<StepId> Dag::takeLeft()
{
    std::vector<StepId> left = std::exchange(m_left, {});
    std::erase_if(left, [this](StepId step) {
        const std::uint32_t slot = m_index.find(step);
        if (slot == kNoSlot)
            return true;
        Node& node = nodeAt(slot);
        node.isLeft = false;
        return !node.isOpen() && (node.needed != 0 || node.user != JobId(0));
    });
    return left;
}

Dag::Consequences Dag::finish(StepId step, bool good)
{
    Consequences result;
    std::vector<std::uint32_t> ended{
        slotOf(step)}; // open before, not any more: their dependents wait for one less
    PENSTOCK_CHECK(nodeAt(ended[0]).isOpen());
    close(nodeAt(ended[0]), good ? Outcome::Good : Outcome::Bad);
    for (std::size_t done = 0; done < ended.size(); ++done) {
        for (const std::uint32_t slot : nodeAt(ended[done]).dependents.all()) {
            Node& waiting = nodeAt(slot);
            if (waiting.place != Place::Live)
                continue;
            PENSTOCK_CHECK(waiting.open > 0);
            --waiting.open;
            if (!waiting.isOpen())
                continue;
            if (!good) {
                close(waiting, Outcome::Bad);
                result.failed.push_back({waiting.id, step});
                ended.push_back(slot);
            } else if (waiting.open == 0) {
                result.ready.push_back(waiting.id);
            }
        }
    }
    return result;
}

void Dag::finishAlone(std::span<const StepId> steps)
{
    for (const StepId step : steps) {
        Node& node = nodeOf(step);
        PENSTOCK_CHECK(node.isOpen());
        close(node, Outcome::Bad);
        for (const std::uint32_t above : node.dependents.all())
            if (nodeAt(above).place == Place::Live)
                --nodeAt(above).open;
    }
}

void Dag::reopen(StepId step)
{
    const std::uint32_t slot = slotOf(step);
    Node& node = nodeAt(slot);
    PENSTOCK_CHECK(node.outcome == Outcome::Bad);
    node.outcome = Outcome::Open;
    makeFresh(slot);
    for (const std::uint32_t below : node.dependsOn.all())
        nodeAt(below).needed += nodeAt(below).place == Place::Live ? 1U : 0U;
    for (const std::uint32_t above : node.dependents.all())
        if (nodeAt(above).place == Place::Live)
            ++nodeAt(above).open;
}

// A neighbour that stays keeps the slots of those that go in its lists until they are the majority there: a
// step with many dependents would else be searched once for each that goes. Until then those slots are not
// given out again.
void Dag::remove(std::span<const StepId> steps)
{
    std::vector<std::uint32_t> slots;
    slots.reserve(steps.size());
    for (const StepId step : steps) {
        const std::uint32_t slot = slotOf(step);
        Node& node = nodeAt(slot);
        PENSTOCK_CHECK(node.user == JobId(0));
        if (node.isOpen())
            finishAlone(step);
        m_index.erase(step);
        node.place = Place::Going;
        node.open = 1; // keeps it until all lists that name it are counted
        slots.push_back(slot);
    }
    std::vector<std::uint32_t> crowded;
    for (const std::uint32_t slot : slots)
        unlink(slot, crowded);
    for (const std::uint32_t slot : crowded)
        sweep(slot);
    for (const std::uint32_t slot : slots) {
        nodeAt(slot).place = Place::Gone;
        release(slot);
    }
}

void Dag::unlink(std::uint32_t slot, std::vector<std::uint32_t>& crowded)
{
    Node& node = nodeAt(slot);
    const auto leave = [&](SlotList& mine, SlotList Node::*theirs) {
        for (const std::uint32_t other : mine.all()) {
            Node& neighbour = nodeAt(other);
            switch (neighbour.place) {
            case Place::Live:
                ++node.open;
                (neighbour.*theirs).noteGone();
                if ((neighbour.*theirs).wantsSweep())
                    crowded.push_back(other);
                break;
            case Place::Going: break; // its lists go as well
            case Place::Gone: release(other); break;
            }
        }
        mine.clear();
    };
    leave(node.dependsOn, &Node::dependents);
    leave(node.dependents, &Node::dependsOn);
}

void Dag::sweep(std::uint32_t slot)
{
    Node& node = nodeAt(slot);
    const auto isGone = [this](std::uint32_t other) {
        if (nodeAt(other).place == Place::Live)
            return false;
        release(other);
        return true;
    };
    if (node.dependsOn.wantsSweep())
        node.dependsOn.sweep(isGone);
    if (node.dependents.wantsSweep()) {
        dropHeap(slot); // it may name slots that are given out again
        node.dependents.sweep(isGone);
    }
}

// One list less names the slot of a node that is gone.
void Dag::release(std::uint32_t slot)
{
    Node& node = nodeAt(slot);
    if (--node.open != 0)
        return;
    node = Node{};
    m_free.push_back(slot);
}

void Dag::addUser(StepId step, JobId job)
{
    JobId& user = nodeOf(step).user;
    if (user == JobId(0)) {
        user = job;
    } else if ((user.value() & kManyUsers) != 0) {
        m_userLists[user.value() & ~kManyUsers].add(job);
    } else if (user != job) {
        if (m_freeUserLists.empty()) {
            m_freeUserLists.push_back(m_userLists.size());
            m_userLists.emplace_back();
        }
        const std::size_t list = m_freeUserLists.back();
        m_freeUserLists.pop_back();
        m_userLists[list].add(user);
        m_userLists[list].add(job);
        user = JobId(kManyUsers | list);
    }
}

void Dag::removeUser(StepId step, JobId job)
{
    JobId& user = nodeOf(step).user;
    if ((user.value() & kManyUsers) == 0) {
        if (user == job)
            user = JobId(0);
        return;
    }
    const std::size_t index = user.value() & ~kManyUsers;
    UserList& list = m_userLists[index];
    list.remove(job);
    if (list.all().size() == 1) {
        user = list.all().front();
        list = UserList{};
        m_freeUserLists.push_back(index);
    }
}

std::span<const JobId> Dag::users(StepId step) const
{
    const JobId& user = nodeOf(step).user;
    if ((user.value() & kManyUsers) != 0)
        return m_userLists[user.value() & ~kManyUsers].all();
    return {&user, user == JobId(0) ? std::size_t{0} : std::size_t{1}};
}

void Dag::share(const std::string& key, StepId step)
{
    m_shared.set(key, step);
}

void Dag::unshare(const std::string& key, StepId step)
{
    if (m_shared.find(key) == step)
        m_shared.erase(key);
}

std::optional<StepId> Dag::findShared(const std::string& key) const
{
    return m_shared.find(key);
}

} // namespace penstock::work
