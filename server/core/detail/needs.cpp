// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/core/detail/needs.h"

#include <algorithm>
#include <fmt/format.h>
#include <iterator>

namespace penstock::core::detail {
namespace {

using Shares = std::vector<sched::ShareIndex>;

// Shorter ones stand above. One number: there are many, and they are compared often.
std::uint64_t dueOf(std::uint32_t length, std::uint32_t slot)
{
    return std::uint64_t{length} << 32U | slot;
}

void sortUnique(std::vector<std::uint32_t>& values)
{
    std::sort(values.begin(), values.end());
    values.erase(std::unique(values.begin(), values.end()), values.end());
}

} // namespace

work::Limits widest(const work::Limits& a, const work::Limits& b)
{
    const auto wider = [](auto x, auto y) {
        using Value = decltype(x);
        return x == Value{} || y == Value{} ? Value{} : std::max(x, y);
    };
    return {wider(a.timeout, b.timeout), wider(a.silentTimeout, b.silentTimeout), wider(a.maxLogBytes, b.maxLogBytes),
            wider(a.maxOutputBytes, b.maxOutputBytes), std::max(a.repeats, b.repeats)};
}

Needs::Needs()
{
    static_assert(sizeof(Need) == 32);
    static_cast<void>(m_sets.acquire({})); // kNobody; never given back
}

Needs::Need& Needs::at(Slot slot)
{
    while (slot / kChunk >= m_chunks.size())
        m_chunks.push_back(std::make_unique<Chunk>());
    return (*m_chunks[slot / kChunk])[slot % kChunk];
}

// Of a slot for which nothing was ever said: nobody's.
const Needs::Need& Needs::at(Slot slot) const
{
    static constexpr Need kNone;
    return slot / kChunk < m_chunks.size() ? (*m_chunks[slot / kChunk])[slot % kChunk] : kNone;
}

void Needs::note(Slot slot)
{
    if (!std::exchange(at(slot).isNoted, true))
        m_noted.push_back(slot);
}

// ------------------------------------------------------------------------------------------------------ two needs

bool Needs::covers(std::uint32_t set, std::uint32_t other) const
{
    constexpr std::size_t kFew = 8;
    if (set == other || other == kNobody)
        return true;
    const Shares& all = m_sets.at(set);
    const Shares& some = m_sets.at(other);
    if (some.size() > all.size())
        return false;
    if (some.size() > kFew)
        return std::includes(all.begin(), all.end(), some.begin(), some.end());
    return std::all_of(some.begin(), some.end(),
                       [&](sched::ShareIndex share) { return std::binary_search(all.begin(), all.end(), share); });
}

void Needs::setShares(Need& need, const Shares& shares)
{
    const std::uint32_t former = need.shares;
    need.shares = shares.empty() ? kNobody : m_sets.acquire(shares);
    if (former != kNobody)
        m_sets.release(former);
}

// Only a need of somebody has limits.
void Needs::setLimits(Need& need, const work::Limits& limits)
{
    need.limits = m_limits.acquire(limits);
}

bool Needs::addShares(Need& into, std::uint32_t set)
{
    if (covers(into.shares, set))
        return false;
    const Shares& a = m_sets.at(into.shares);
    const Shares& b = m_sets.at(set);
    Shares both;
    both.reserve(a.size() + b.size());
    std::set_union(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(both));
    setShares(into, both);
    return true;
}

bool Needs::addLimits(Need& into, std::uint32_t limits)
{
    if (into.limits == limits)
        return false;
    const work::Limits both = widest(m_limits.at(into.limits), m_limits.at(limits));
    if (both == m_limits.at(into.limits))
        return false;
    const std::uint32_t former = into.limits;
    setLimits(into, both);
    m_limits.release(former);
    return true;
}

// True when it is better afterwards.
bool Needs::merge(Need& into, const Need& from)
{
    if (from.shares == kNobody)
        return false;
    if (into.shares == kNobody)
        into.limits = m_limits.acquire(work::Limits(m_limits.at(from.limits)));
    bool better = addShares(into, from.shares);
    better |= addLimits(into, from.limits);
    better |= raise(into, from);
    return better;
}

// Nothing of it would be better after a merge.
bool Needs::has(const Need& need, const Need& other) const
{
    return other.shares == kNobody ||
           (need.shares != kNobody && need.bump <= other.bump && need.age <= other.age &&
            need.priority >= other.priority && need.limits == other.limits && covers(need.shares, other.shares));
}

// What is no number of what many have in common.
bool Needs::raise(Need& into, const Need& from)
{
    const bool better = from.bump < into.bump || from.age < into.age || from.priority > into.priority;
    into.bump = std::min(into.bump, from.bump);
    into.age = std::min(into.age, from.age);
    into.priority = std::max(into.priority, from.priority);
    return better;
}

// -------------------------------------------------------------------------------------------------------- one step

void Needs::claim(const work::Dag& dag, StepId step, const Claim& claim)
{
    Need from;
    from.bump = claim.bump;
    from.age = claim.job.value();
    from.priority = claim.priority;
    const Slot slot = dag.slotOf(step);
    Need& into = at(slot);
    bool isBetter = false;
    if (includes(into, claim)) {
        isBetter = raise(into, from);
    } else {
        setShares(from, {claim.share});
        setLimits(from, *claim.limits);
        isBetter = merge(into, from);
        m_sets.release(from.shares);
        m_limits.release(from.limits);
    }
    if (!isBetter)
        return;
    into.isBetter = true;
    note(slot);
}

// It has the claim's share group and limits already.
bool Needs::includes(const Need& need, const Claim& claim) const
{
    if (need.shares == kNobody)
        return false;
    const Shares& shares = m_sets.at(need.shares);
    const work::Limits& limits = m_limits.at(need.limits);
    return std::binary_search(shares.begin(), shares.end(), claim.share) && widest(limits, *claim.limits) == limits;
}

void Needs::worsen(const work::Dag& dag, StepId step)
{
    const Slot slot = dag.slotOf(step);
    at(slot).isWorse = true;
    note(slot);
}

void Needs::clear(const work::Dag& dag, StepId step)
{
    Need& need = at(dag.slotOf(step));
    if (need.shares != kNobody) {
        m_sets.release(need.shares);
        m_limits.release(need.limits);
    }
    need = Need{};
}

bool Needs::isNoted(const work::Dag& dag, StepId step) const
{
    const Slot slot = dag.slotOf(step);
    return at(slot).isNoted;
}

Needs::View Needs::of(const work::Dag& dag, StepId step) const
{
    const Need& need = at(dag.slotOf(step));
    if (need.shares == kNobody)
        return {};
    return {.shares = m_sets.at(need.shares),
            .bump = need.bump,
            .age = need.age,
            .priority = need.priority,
            .limits = &m_limits.at(need.limits)};
}

// ------------------------------------------------------------------------------------------------------ handing down

void Needs::compute(const work::Dag& dag, Slot slot, const ClaimsOf& claimsOf, Sum& sum) const
{
    sum.need = Need{};
    sum.shares.clear();
    sum.setsAbove.clear();
    sum.limitsAbove.clear();
    sum.hasLimits = false;
    const auto add = [&sum](std::uint64_t bump, std::uint64_t age, std::int32_t priority) {
        sum.need.bump = std::min(sum.need.bump, bump);
        sum.need.age = std::min(sum.need.age, age);
        sum.need.priority = std::max(sum.need.priority, priority);
    };
    const auto widen = [&sum](const work::Limits& limits) {
        sum.limits = std::exchange(sum.hasLimits, true) ? widest(sum.limits, limits) : limits;
    };
    claimsOf(dag.stepAt(slot), [&](const Claim& claim) {
        add(claim.bump, claim.job.value(), claim.priority);
        sum.shares.push_back(claim.share);
        widen(*claim.limits);
    });
    for (const Slot above : dag.dependentSlots(slot)) {
        ++m_edges;
        const Need& need = at(above);
        if (need.shares == kNobody)
            continue; // not an open step that somebody needs
        add(need.bump, need.age, need.priority);
        if (sum.setsAbove.empty() || sum.setsAbove.back() != need.shares)
            sum.setsAbove.push_back(need.shares);
        if (sum.limitsAbove.empty() || sum.limitsAbove.back() != need.limits)
            sum.limitsAbove.push_back(need.limits);
    }
    sortUnique(sum.setsAbove);
    sortUnique(sum.limitsAbove);
    for (const std::uint32_t set : sum.setsAbove)
        sum.shares.insert(sum.shares.end(), m_sets.at(set).begin(), m_sets.at(set).end());
    sortUnique(sum.shares);
    for (const std::uint32_t each : sum.limitsAbove)
        widen(m_limits.at(each));
}

// True when something of what it had has gone.
bool Needs::computeAnew(const work::Dag& dag, Slot slot, const ClaimsOf& claimsOf, Sum& sum)
{
    compute(dag, slot, claimsOf, sum);
    Need& need = at(slot);
    const bool hadSome = need.shares != kNobody;
    Need fresh = sum.need;
    if (!sum.shares.empty()) { // mostly only the bump is another
        fresh.shares = hadSome ? m_sets.acquireLike(need.shares, sum.shares) : m_sets.acquire(sum.shares);
        fresh.limits = hadSome ? m_limits.acquireLike(need.limits, sum.limits) : m_limits.acquire(sum.limits);
    }
    const bool isSame = fresh.bump == need.bump && fresh.age == need.age && fresh.priority == need.priority &&
                        fresh.shares == need.shares && (!hadSome || fresh.limits == need.limits);
    const bool isLess = hadSome && (fresh.bump > need.bump || fresh.age > need.age || fresh.priority < need.priority ||
                                    !covers(fresh.shares, need.shares) ||
                                    (fresh.limits != need.limits &&
                                     widest(sum.limits, m_limits.at(need.limits)) != sum.limits));
    if (hadSome) {
        m_sets.release(need.shares);
        m_limits.release(need.limits);
    }
    fresh.isBetter = need.isBetter || !isSame;
    need = fresh;
    return isLess;
}

// Most edges lead to what is noted already, or has as much: its node in the graph is not looked at.
void Needs::handDown(const work::Dag& dag, Slot slot, bool isWorse)
{
    const Need need = at(slot);
    for (const Slot below : dag.dependencySlots(slot)) {
        ++m_edges;
        Need& other = at(below);
        if ((isWorse ? other.isWorse : has(other, need)) || !dag.isOpenAt(below))
            continue;
        if (isWorse)
            other.isWorse = true;
        else if (merge(other, need))
            other.isBetter = true;
        else
            continue;
        note(below);
    }
}

// The steps that have been noted and are open, each once, the topmost first.
void Needs::takeNoted(const work::Dag& dag, std::vector<std::uint64_t>& due)
{
    for (const Slot slot : m_noted)
        if (dag.isOpenAt(slot)) {
            due.push_back(dueOf(dag.lengthAt(slot), slot));
            std::push_heap(due.begin(), due.end(), std::greater<>());
        } else {
            at(slot).isNoted = false;
        }
    m_noted.clear();
}

std::vector<StepId> Needs::settle(const work::Dag& dag, const ClaimsOf& claimsOf)
{
    std::vector<StepId> changed;
    const auto tell = [&](Slot slot) {
        if (dag.waitsForAt(slot) == 0)
            changed.push_back(dag.stepAt(slot));
    };
    for (const Slot slot : m_noted) // whether it differs or not: whoever asked isNoted() relies on it
        if (dag.isOpenAt(slot) && at(slot).isNoted)
            tell(slot);
    std::vector<std::uint64_t> due; // a heap
    Sum sum;
    for (;;) {
        takeNoted(dag, due);
        if (due.empty())
            break;
        std::pop_heap(due.begin(), due.end(), std::greater<>());
        const auto slot = static_cast<Slot>(due.back() & UINT32_MAX);
        due.pop_back();
        Need& need = at(slot);
        if (!std::exchange(need.isNoted, false))
            continue; // another step had the slot when it was noted first
        const bool isLess = std::exchange(need.isWorse, false) && computeAnew(dag, slot, claimsOf, sum);
        if (!std::exchange(need.isBetter, false))
            continue;
        tell(slot);
        handDown(dag, slot, isLess);
    }
    std::sort(changed.begin(), changed.end());
    changed.erase(std::unique(changed.begin(), changed.end()), changed.end());
    return changed;
}

Result<void> Needs::check(const work::Dag& dag, std::span<const StepId> steps, const ClaimsOf& claimsOf) const
{
    const auto wrong = [](StepId step, const char* what) {
        return fail(ErrorCode::Internal, fmt::format("the jobs above step {} {}", step.value(), what));
    };
    Sum sum;
    for (const StepId step : steps) {
        const Slot slot = dag.slotOf(step);
        const Need need = at(slot);
        if (!dag.isOpenAt(slot)) {
            if (need.shares != kNobody)
                return wrong(step, "still count though it has ended");
            continue;
        }
        compute(dag, slot, claimsOf, sum);
        if (need.isNoted || need.isBetter || need.isWorse)
            return wrong(step, "wait for being handed down");
        if (need.bump != sum.need.bump || need.age != sum.need.age || need.priority != sum.need.priority)
            return wrong(step, "give it another bump, age or priority");
        if (m_sets.at(need.shares) != sum.shares)
            return wrong(step, "are of other share groups");
        if (need.shares != kNobody && m_limits.at(need.limits) != sum.limits)
            return wrong(step, "have other limits");
    }
    return {};
}

} // namespace penstock::core::detail
