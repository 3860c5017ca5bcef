// SPDX-License-Identifier: GPL-3.0-or-later
// Needs: what the jobs above make of each open step. A job speaks for the steps it claims, and each step hands down to
// what it depends on what it has itself: the newest bump, the oldest job, the highest priority, all share groups, the
// widest limits. One thread; it never fails.
//
// Changes are noted as they happen and handed down in settle(), once for all that were noted, from the top: by the
// graph's lengths, so that each step is taken when all above it are done. What only got better costs the edges of the
// steps it makes better. What may have got worse (a job is held or cancelled, a bump taken back, a dependent ended
// badly) is computed anew with the edges to all its dependents, as far down as anything differs.
//
// Kept by the graph's slots: 32 bytes a step; sets of groups and limits are numbers of what many steps have in common.
#pragma once

#include "server/core/detail/interner.h"
#include "server/sched/planner.h"
#include "server/work/dag.h"
#include "server/work/spec.h"
#include "shared/base/result.h"

#include <array>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace penstock::core::detail {

// The most generous of both; zero is none, and nothing is more generous than that.
[[nodiscard]] work::Limits widest(const work::Limits& a, const work::Limits& b);

class Needs {
public:
    struct Claim { // of one job that waits, for the steps that it claims
        JobId job;
        std::uint64_t bump;
        std::int32_t priority;
        sched::ShareIndex share;
        const work::Limits* limits;
    };
    // Calls back for each claim on the step that counts now.
    using ClaimsOf = std::function<void(StepId, const std::function<void(const Claim&)>&)>;

    struct View {
        std::span<const sched::ShareIndex> shares; // sorted; until the next change. None: nobody who waits needs it
        std::uint64_t bump = UINT64_MAX;
        std::uint64_t age = 0; // the oldest job's id
        std::int32_t priority = 0;
        const work::Limits* limits = nullptr; // none when nobody needs it
    };

    Needs();

    // One claim more on an open step, or one that counts for more. What it has itself changes at once.
    void claim(const work::Dag& dag, StepId step, const Claim& claim);
    // Claims on an open step, or open dependents of it, count for less or not at all any more.
    void worsen(const work::Dag& dag, StepId step);
    // The step is not open any more.
    void clear(const work::Dag& dag, StepId step);
    // Hands down all that was noted; the graph has settled before. Of the open steps that wait for no other: those that
    // were noted, and those whose need is another now.
    [[nodiscard]] std::vector<StepId> settle(const work::Dag& dag, const ClaimsOf& claimsOf);

    [[nodiscard]] bool isNoted(const work::Dag& dag, StepId step) const; // settle() will name it
    [[nodiscard]] View of(const work::Dag& dag, StepId step) const;
    [[nodiscard]] std::uint64_t edgesLookedAt() const { return m_edges; } // ever, in either direction
    // Against a computation from nothing; only when nothing is noted. Internal names the step.
    [[nodiscard]] Result<void> check(const work::Dag& dag, std::span<const StepId> steps,
                                     const ClaimsOf& claimsOf) const;

private:
    using Slot = std::uint32_t;
    static constexpr std::uint32_t kNobody = 0; // the empty set

    struct alignas(32) Need {
        std::uint64_t bump = UINT64_MAX;
        std::uint64_t age = UINT64_MAX;
        std::int32_t priority = std::numeric_limits<std::int32_t>::min();
        std::uint32_t shares = kNobody;
        std::uint32_t limits = 0;
        bool isNoted = false;
        bool isBetter = false; // than what was handed down
        bool isWorse = false;  // perhaps: to be computed anew
    };
    static constexpr std::size_t kChunk = 1024;
    using Chunk = std::array<Need, kChunk>;
    struct Sum { // of claims and dependents; one for many steps, as its vectors keep their room
        Need need;
        std::vector<sched::ShareIndex> shares; // sorted
        work::Limits limits;
        bool hasLimits = false;
        std::vector<std::uint32_t> setsAbove;
        std::vector<std::uint32_t> limitsAbove;
    };

    [[nodiscard]] Need& at(Slot slot);
    [[nodiscard]] const Need& at(Slot slot) const;
    void note(Slot slot);
    [[nodiscard]] bool covers(std::uint32_t set, std::uint32_t other) const;
    bool addShares(Need& into, std::uint32_t set);
    bool addLimits(Need& into, std::uint32_t limits);
    bool merge(Need& into, const Need& from);
    static bool raise(Need& into, const Need& from);
    [[nodiscard]] bool has(const Need& need, const Need& other) const;
    [[nodiscard]] bool includes(const Need& need, const Claim& claim) const;
    void setShares(Need& need, const std::vector<sched::ShareIndex>& shares);
    void setLimits(Need& need, const work::Limits& limits);
    void compute(const work::Dag& dag, Slot slot, const ClaimsOf& claimsOf, Sum& sum) const;
    bool computeAnew(const work::Dag& dag, Slot slot, const ClaimsOf& claimsOf, Sum& sum);
    void takeNoted(const work::Dag& dag, std::vector<std::uint64_t>& due);
    void handDown(const work::Dag& dag, Slot slot, bool isWorse);

    std::vector<std::unique_ptr<Chunk>> m_chunks; // by slot
    Interner<std::vector<sched::ShareIndex>> m_sets;
    Interner<work::Limits> m_limits;
    std::vector<Slot> m_noted; // since the last settle(), or while it goes on
    mutable std::uint64_t m_edges = 0;
};

} // namespace penstock::core::detail
