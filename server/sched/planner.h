// SPDX-License-Identifier: GPL-3.0-or-later
// Planner: chooses which ready steps start on which machines. It keeps its picture of queues and machines up to date
// change by change, so a start costs a few tree operations and never a walk over a queue or over all machines:
// ready steps wait in one ordered queue per class (placement and machines to avoid), machines with equal capability
// form a group, and only pairs of a waiting class and a group with a free slot are looked at. A class that no free
// machine can take costs nothing.
// Pure: equal histories of calls give equal plans. One thread. It never fails; plan() returns fewer starts than
// possible, with `more` set, when the visit budget runs out.
#pragma once

#include "server/sched/feasible.h"
#include "server/sched/order.h"
#include "server/sched/placements.h"
#include "server/work/id_map.h"
#include "shared/base/ids.h"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <tuple>
#include <vector>

namespace penstock::sched {

using ClassIndex = std::uint32_t;

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
    bool able = false; // it may be given work in general: connected, not draining
    bool open = false; // and now: below its thresholds
    std::uint32_t slots = 0;
    std::uint32_t used = 0;
    std::uint32_t load = 0; // see MachineRank
    friend bool operator==(const MachineStatus&, const MachineStatus&) = default;
};

struct Start {
    StepId step;
    MachineId machine;
    friend bool operator==(const Start&, const Start&) = default;
};
struct Plan {
    std::vector<Start> starts;
    bool more = false;
};

class Planner {
public:
    // ---- machines
    void setFacts(MachineId machine, const protocol::MachineFacts& facts); // adds it when it is new, not able
    void setStatus(MachineId machine, const MachineStatus& status);
    void removeMachine(MachineId machine);

    // ---- steps. The class is what takes the step out again; avoid need not be sorted.
    [[nodiscard]] ClassIndex enqueue(PlacementIndex placement, const QueueOrder& order,
                                     std::span<const MachineId> avoid);
    void dequeue(ClassIndex queue, const QueueOrder& order);

    // Starts steps on machines until nothing fits or the budget is spent. Started steps have left their queues, and
    // the machines' used slots are counted up.
    [[nodiscard]] Plan plan(VisitBudget& budget);

    // ---- questions
    [[nodiscard]] PlacementTable& placements() { return m_placements; }
    [[nodiscard]] const PlacementTable& placements() const { return m_placements; }
    // Steps before this one in its queue, counted up to the limit.
    [[nodiscard]] std::uint64_t ahead(ClassIndex queue, const QueueOrder& order, std::uint64_t limit) const;
    // The oldest waiting step of a placement, looking at one step per priority.
    [[nodiscard]] std::vector<StepId> oldest(PlacementIndex placement) const;
    struct Reach { // machines that could take a placement
        std::uint32_t able = 0;
        std::uint32_t freeSlots = 0;
    };
    [[nodiscard]] Reach reach(const work::Placement& placement) const;
    // Is there a machine for it, open though perhaps busy, that is not to be avoided.
    [[nodiscard]] bool hasOpenBeside(PlacementIndex placement, std::span<const MachineId> avoid) const;
    [[nodiscard]] std::size_t queued() const { return m_queued; }

private:
    using GroupIndex = std::uint32_t;
    struct Waiting {
        QueueOrder head;
        ClassIndex queue = 0;
        friend auto operator<=>(const Waiting&, const Waiting&) = default;
    };
    struct Active {
        Waiting waiting;
        GroupIndex group = 0;
        friend auto operator<=>(const Active&, const Active&) = default;
    };
    struct Machine {
        std::string name;
        GroupIndex group = 0;
        MachineStatus status;
        std::optional<MachineRank> rank; // while it is among the available
    };
    struct Group { // machines of equal capability
        const Capability* capability = nullptr; // null: free
        std::set<MachineId> members;
        std::set<MachineId> open;               // able, and below their thresholds; busy or not
        std::uint32_t able = 0;
        std::uint64_t freeSlots = 0;            // of able members
        std::set<MachineRank> available;
        std::set<ClassIndex> classes; // that can run here
        std::set<Waiting> waiting;    // of those: not empty, not stalled
        std::set<ClassIndex> stalled; // of those: no available machine is allowed for them
        std::optional<Active> active;
    };
    struct ClassKey {
        PlacementIndex placement = 0;
        std::vector<MachineId> avoid; // sorted
        friend auto operator<=>(const ClassKey&, const ClassKey&) = default;
    };
    struct Class {
        const ClassKey* key = nullptr; // null: free
        std::set<QueueOrder> steps;
        std::vector<GroupIndex> groups;
        std::optional<Waiting> shown; // how its groups know it
        bool stalled = false;
    };

    [[nodiscard]] const work::Placement& placementOf(const Class& queue) const;
    [[nodiscard]] bool allows(const Class& queue, MachineId machine, bool evenAvoided) const;
    [[nodiscard]] bool hasOpenBeside(const Class& queue) const;
    [[nodiscard]] std::optional<MachineRank> choose(ClassIndex index, bool evenAvoided, VisitBudget& budget) const;
    void start(ClassIndex index, MachineId machine, Plan& plan);
    void stall(ClassIndex index);
    void wake(ClassIndex index);
    void refreshClass(ClassIndex index);
    void refreshActive(GroupIndex index);
    [[nodiscard]] ClassIndex classFor(ClassKey key);
    void dropClass(ClassIndex index);

    [[nodiscard]] GroupIndex groupFor(const Capability& capability);
    void join(MachineId id, Machine& machine, GroupIndex group);
    void leave(MachineId id, Machine& machine);
    void enter(MachineId id, Machine& machine); // its status into its group's sums and ranking
    void withdraw(MachineId id, Machine& machine);
    void wakeStalled(GroupIndex group);
    void nameChanged(MachineId id, Machine& machine, const std::string& name);

    PlacementTable m_placements;
    work::IdMap<MachineId, Machine> m_machines;
    std::map<std::string, std::set<MachineId>> m_names;
    std::map<Capability, GroupIndex> m_groupIndex;
    std::vector<Group> m_groups;
    std::vector<GroupIndex> m_freeGroups;
    std::map<ClassKey, ClassIndex> m_classIndex;
    std::vector<Class> m_classes;
    std::vector<ClassIndex> m_freeClasses;
    std::set<Active> m_active;
    std::size_t m_queued = 0;
};

} // namespace penstock::sched
