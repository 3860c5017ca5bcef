// SPDX-License-Identifier: GPL-3.0-or-later
// Planner: chooses which ready step starts next and on which machine. It keeps its picture of queues and machines up
// to date change by change, so a start costs a few tree operations and never a walk over a queue or over all machines.
//
//   leaf    ready steps that are alike in all that order does not see: placement, ask, machines to avoid, bump, share
//           groups, gates; one ordered tree each
//   class   leaves that the same machines can take; ordered by their first steps (HeadOrder)
//   kind    machines of equal capability
//   pool    the kinds that can run a class; classes with the same kinds share one. A pool knows its classes by their
//           first steps and its machines with room by rank, and only pools that have both are looked at
//
// Fair shares: the use of a share group rises with every start; a leaf learns of it when it comes to the front (its
// place is then too good, never too bad), so a start touches no other queue. A fall is told at once (setUse).
// A class that no machine with room can take is stalled: it costs nothing until one of its machines gains room. The
// first of a pool that stays stalled gets a machine reserved (reserveFor).
//
// Pure: equal histories of calls give equal plans. One thread. It never fails; next() returns nothing with more() set
// when the visit budget runs out.
#pragma once

#include "server/sched/feasible.h"
#include "server/sched/gates.h"
#include "server/sched/order.h"
#include "server/sched/placements.h"
#include "server/sched/room.h"
#include "server/work/id_map.h"
#include "shared/base/ids.h"
#include "shared/base/result.h"

#include <absl/container/btree_set.h>
#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace penstock::sched {

using LeafIndex = std::uint32_t;
using ShareIndex = std::uint32_t;

// How much a planning pass may look at; counted, so that a pass costs the same on every machine.
class VisitBudget {
public:
    explicit VisitBudget(std::uint64_t visits) : m_left(visits) {}
    [[nodiscard]] bool take()
    {
        ++m_used;
        return m_left > 0 && m_left-- > 0;
    }
    [[nodiscard]] std::uint64_t used() const { return m_used; }

private:
    std::uint64_t m_left;
    std::uint64_t m_used = 0;
};

struct MachineStatus {
    bool able = false; // it may be given work in general: connected, not draining, not quarantined
    bool open = false; // and now: below its thresholds
    Capacity capacity;
    std::uint32_t foreign = 0;      // slots taken by what is not ours
    std::uint32_t foreignCpus = 0;  // kept busy by what is not ours
    std::uint32_t load = 0;         // of all its cpus by the last report, in 1/65536
    std::uint32_t starts = UINT32_MAX; // that it may be given until the next report
    std::uint64_t report = 0;       // number of that report: a new one counts starts anew
    std::uint64_t score = 0;        // by the machine sort, larger first; 0: by headroom
    friend bool operator==(const MachineStatus&, const MachineStatus&) = default;
};

// A ready step as the planner sees it.
struct Wish {
    PlacementIndex placement = 0;
    AskIndex ask = 0;
    std::span<const MachineId> avoid;
    std::span<const ShareIndex> shares; // sorted, at least one
    GateSet gates{};
    std::uint64_t bump = UINT64_MAX; // see bumpOrder
    StepOrder order;
};

struct Start {
    StepId step;
    MachineId machine;
    AskIndex ask;
    GateSet gates{};
    friend bool operator==(const Start&, const Start&) = default;
};

class Planner {
public:
    // ---- machines
    void setFacts(MachineId machine, const protocol::MachineFacts& facts); // adds it when it is new, not able
    void setStatus(MachineId machine, const MachineStatus& status);
    void removeMachine(MachineId machine);
    [[nodiscard]] bool knows(MachineId machine) const { return m_machines.find(machine) != nullptr; }
    // What runs without a start of ours (after a restart, a probe) passes its gates and takes its room.
    void enterGates(AskIndex ask, const GateSet& gates) { m_gates.enter(gates, m_asks.cpus(ask)); }
    void takeRoom(MachineId machine, AskIndex ask);
    // What a start has taken: of the machine, when it needs that no more (a machine that is not known: nothing), and
    // of its gates, when it is over.
    void giveRoom(MachineId machine, AskIndex ask);
    void leaveGates(AskIndex ask, const GateSet& gates);

    // ---- steps. The leaf is what takes the step out again, with the same order; avoid need not be sorted.
    [[nodiscard]] LeafIndex enqueue(const Wish& wish);
    void dequeue(LeafIndex leaf, const StepOrder& order);

    // ---- shares and gates
    void setUse(ShareIndex share, std::uint64_t use); // a fall re-orders its leaves, a rise waits for a look at them
    [[nodiscard]] Gates& gates() { return m_gates; }
    [[nodiscard]] const Gates& gates() const { return m_gates; }
    void gateOpened(GateIndex gate); // after its limits were raised or lifted

    // The next start, if any step fits anywhere: it has left its queue and taken its room.
    [[nodiscard]] std::optional<Start> next(VisitBudget& budget, Instant now);
    [[nodiscard]] bool more() const { return m_more; } // the last next() ended by its budget
    // Keeps machines free for the first steps of pools that have been stalled for so long. How many were kept anew.
    std::size_t reserveFor(Duration stalled, Instant now);

    // ---- questions
    [[nodiscard]] PlacementTable& placements() { return m_placements; }
    [[nodiscard]] const PlacementTable& placements() const { return m_placements; }
    [[nodiscard]] Asks& asks() { return m_asks; }
    [[nodiscard]] const Asks& asks() const { return m_asks; }
    [[nodiscard]] const Room& room(MachineId machine) const { return m_machines.at(machine).room; }
    [[nodiscard]] bool isWaitingForReport(MachineId machine) const
    {
        return m_machines.at(machine).started >= m_machines.at(machine).status.starts;
    }
    [[nodiscard]] const Capability& capability(MachineId machine) const
    {
        return *m_kinds[m_machines.at(machine).kind].capability;
    }
    [[nodiscard]] bool isReserved(MachineId machine) const { return m_machines.at(machine).reservedFor.has_value(); }

    [[nodiscard]] bool isReservedFor(MachineId machine, LeafIndex leaf) const
    {
        return m_machines.at(machine).reservedFor == m_leaves[leaf].key.queue;
    }

    struct Line { // queued steps that the same others go before: alike in machines, bump and share groups
        std::uint32_t pool = 0;
        std::uint32_t party = 0;
        std::uint64_t bump = UINT64_MAX;
        friend auto operator<=>(const Line&, const Line&) = default;
    };
    struct Ahead { // steps for the same machines that go before those of a line
        std::uint64_t bumped = 0;   // by a newer bump
        std::uint64_t byShare = 0;  // whose share groups have used less
        std::vector<ShareIndex> groups; // of those by share, at most 5
        std::vector<StepOrder> first;   // of the line itself, in order, at most the limit
        std::uint64_t looked = 0;       // leaves
        // How many of the line go before this one of it, as far as the limit.
        [[nodiscard]] std::uint64_t inGroup(const StepOrder& order) const;
    };
    [[nodiscard]] Line lineOf(LeafIndex leaf) const;
    [[nodiscard]] Ahead ahead(const Line& line, std::size_t limit) const; // O(leaves): ask once for all steps of a line
    struct LeafView {
        PlacementIndex placement = 0;
        AskIndex ask = 0;
        std::span<const MachineId> avoid; // sorted
        std::span<const ShareIndex> shares;
        std::size_t steps = 0;
        StepId first{0};
        bool isParked = false;
        bool isNamespaceFull = false; // that is where it is parked
        bool isStalled = false;
    };
    template <class Visit> void forEachLeaf(Visit visit) const
    {
        for (LeafIndex index = 0; index < m_leaves.size(); ++index)
            if (!m_leaves[index].steps.empty())
                visit(viewOf(index));
    }
    struct Reach { // machines that could take a placement
        std::uint32_t known = 0; // connected or not
        std::uint32_t able = 0;
        std::uint32_t open = 0;
        std::uint32_t freeSlots = 0; // of the able ones
    };
    [[nodiscard]] Reach reach(const work::Placement& placement) const;
    // Is there a machine for it, open though perhaps busy, that is not to be avoided.
    [[nodiscard]] bool hasOpenBeside(PlacementIndex placement, const Ask& ask, std::span<const MachineId> avoid) const;
    [[nodiscard]] std::size_t queued() const { return m_queued; }
    [[nodiscard]] std::size_t leaves() const { return m_leafIndex.size(); } // none is empty
    // Every count and cross-reference; Internal names what does not hold. For tests.
    [[nodiscard]] Result<void> check() const;

private:
    using ClassIndex = std::uint32_t;
    using KindIndex = std::uint32_t;
    using PoolIndex = std::uint32_t;
    using PartyIndex = std::uint32_t;
    static constexpr std::uint32_t kNone = UINT32_MAX;

    struct Party { // a set of share groups
        std::vector<ShareIndex> shares;
        std::set<LeafIndex> leaves;
    };
    struct LeafKey {
        ClassIndex queue = 0;
        PartyIndex party = 0;
        std::uint64_t bump = UINT64_MAX;
        GateSet gates{};
        friend auto operator<=>(const LeafKey&, const LeafKey&) = default;
    };
    struct Leaf {
        LeafKey key;
        absl::btree_set<StepOrder> steps;
        std::optional<HeadOrder> shown; // how its class knows it
        std::optional<GateIndex> parkedAt; // this gate is closed for it
    };
    struct Head {
        HeadOrder order;
        std::uint32_t index = 0; // of the leaf, class or pool
        friend auto operator<=>(const Head&, const Head&) = default;
    };
    using Heads = absl::btree_set<Head>;
    struct ClassKey {
        PlacementIndex placement = 0;
        AskIndex ask = 0;
        std::vector<MachineId> avoid; // sorted
        friend auto operator<=>(const ClassKey&, const ClassKey&) = default;
    };
    struct Class {
        const ClassKey* key = nullptr; // null: free
        Heads heads;                   // leaves that are not parked
        PoolIndex pool = kNone;
        std::uint32_t leaves = 0;
        std::optional<HeadOrder> shown; // how its pool knows it
        bool isStalled = false;
        StepId stalledStep{0};         // the first step when it last found no machine,
        Instant stalledSince;          // and since when that step finds none
        std::optional<MachineId> reserved; // kept free for it
    };
    struct Machine {
        std::string name;
        KindIndex kind = 0;
        MachineStatus status;
        Room room;
        std::uint32_t started = 0;       // since the last report
        std::optional<MachineRank> rank; // while it is among the available
        std::optional<ClassIndex> reservedFor;
    };
    struct Kind {
        const Capability* capability = nullptr; // null: free
        std::set<MachineId> members;
        std::set<MachineId> open; // able, and below their thresholds; busy or not
        std::set<PoolIndex> pools;
    };
    struct Pool {
        const std::vector<KindIndex>* kinds = nullptr; // the key in m_poolIndex; null: free
        absl::btree_set<MachineRank> available;
        Heads waiting;                // classes: not empty, not stalled
        std::set<ClassIndex> stalled; // classes: no available machine can take them
        std::uint32_t classes = 0;
        std::optional<HeadOrder> shown; // how m_active knows it
    };

    // ---- planner.cpp
    [[nodiscard]] const work::Placement& placementOf(const Class& queue) const;
    [[nodiscard]] bool allows(const Class& queue, MachineId id, bool evenAvoided) const;
    [[nodiscard]] bool takes(const Class& queue, const Machine& machine) const;
    [[nodiscard]] bool hasOpenBeside(const Class& queue) const;
    [[nodiscard]] std::optional<MachineId> choose(ClassIndex index, bool evenAvoided, VisitBudget& budget) const;
    [[nodiscard]] std::optional<MachineId> chooseNamed(const Class& queue, bool evenAvoided, VisitBudget& budget) const;
    [[nodiscard]] std::optional<MachineId> chooseAny(ClassIndex index, VisitBudget& budget) const;
    [[nodiscard]] std::optional<Start> startReserved(Instant now);
    [[nodiscard]] Start start(LeafIndex leaf, MachineId machine);
    [[nodiscard]] bool settleFirst(ClassIndex index);
    [[nodiscard]] std::optional<ClassIndex> firstStalled(const Pool& pool, Instant since) const;
    [[nodiscard]] std::optional<MachineId> reservable(const Class& queue) const;
    void unreserve(ClassIndex index);

    // ---- planner_queues.cpp
    [[nodiscard]] std::uint64_t useOf(const Party& party) const;
    [[nodiscard]] PartyIndex partyFor(std::span<const ShareIndex> shares);
    [[nodiscard]] LeafIndex leafFor(const LeafKey& key);
    void dropLeaf(LeafIndex index);
    void refreshLeaf(LeafIndex index);
    void unpark(GateIndex gate);
    [[nodiscard]] ClassIndex classFor(ClassKey key);
    void dropClass(ClassIndex index);
    void refreshClass(ClassIndex index);
    void refreshPool(PoolIndex index);
    void stall(ClassIndex index, Instant now);
    void wake(ClassIndex index);
    void repool(ClassIndex index);
    void leavePool(ClassIndex index);
    [[nodiscard]] PoolIndex poolFor(std::vector<KindIndex> kinds);
    [[nodiscard]] LeafView viewOf(LeafIndex index) const;

    // ---- planner_machines.cpp
    [[nodiscard]] KindIndex kindFor(const Capability& capability);
    void dropKind(KindIndex index);
    void join(MachineId id, Machine& machine, KindIndex kind);
    void leave(MachineId id, Machine& machine);
    void noteOpen(MachineId id, const Machine& machine, bool in); // in its kind, if it is
    void rerank(MachineId id, Machine& machine);
    void roomChanged(MachineId id, Machine& machine);
    [[nodiscard]] bool isAvailable(const Machine& machine) const;
    [[nodiscard]] MachineRank rankOf(MachineId id, const Machine& machine) const;
    void wakeStalled(KindIndex kind);
    void nameChanged(MachineId id, Machine& machine, const std::string& name);

    PlacementTable m_placements;
    Asks m_asks;
    Gates m_gates;
    std::vector<std::uint64_t> m_uses; // by ShareIndex
    std::map<std::vector<ShareIndex>, PartyIndex> m_partyIndex;
    std::vector<Party> m_parties;
    std::vector<PartyIndex> m_freeParties;
    std::vector<std::set<PartyIndex>> m_partiesOf; // by ShareIndex
    std::map<LeafKey, LeafIndex> m_leafIndex;
    std::vector<Leaf> m_leaves;
    std::vector<LeafIndex> m_freeLeaves;
    std::map<GateIndex, std::set<LeafIndex>> m_parked;
    std::map<ClassKey, ClassIndex> m_classIndex;
    std::vector<Class> m_classes;
    std::vector<ClassIndex> m_freeClasses;
    std::map<std::vector<KindIndex>, PoolIndex> m_poolIndex;
    std::vector<Pool> m_pools;
    std::vector<PoolIndex> m_freePools;
    Heads m_active; // pools with a waiting class and an available machine
    std::map<Capability, KindIndex> m_kindIndex;
    std::vector<Kind> m_kinds;
    std::vector<KindIndex> m_freeKinds;
    work::IdMap<MachineId, Machine> m_machines;
    std::map<std::string, std::set<MachineId>> m_names;
    std::size_t m_reserved = 0;             // machines
    std::set<MachineId> m_reservedWithRoom; // for whom they are reserved
    std::size_t m_queued = 0;
    bool m_more = false;
};

} // namespace penstock::sched
