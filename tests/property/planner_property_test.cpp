// SPDX-License-Identifier: GPL-3.0-or-later
// The planner against one that walks over all steps and all machines for every decision.
#include "server/sched/planner.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <map>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

namespace penstock::sched {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

constexpr std::size_t kMachines = 5;
constexpr std::size_t kShares = 3;
constexpr std::size_t kGates = 3;

// The whole range from the first case on: a history of small numbers only adds steps to nothing.
template <class T> T any(T least, T beyond)
{
    return *rc::gen::resize(rc::kNominalSize, rc::gen::inRange<T>(least, beyond));
}

bool sometimes(int oneIn)
{
    return any(0, oneIn) == 0;
}

struct NaiveStep {
    Wish wish; // its spans are those below
    std::vector<MachineId> avoid;
    std::vector<ShareIndex> shares;
    work::Placement placement;
    Ask ask;
    LeafIndex leaf = 0;
};

struct NaiveMachine {
    protocol::MachineFacts facts;
    MachineStatus status;
    Room room;
};

struct NaiveGate {
    GateIndex index = 0;
    GateLimits limits;
    std::uint64_t steps = 0;
    std::uint64_t cpus = 0;
};

struct Running {
    Start start;
    Ask ask;
};

struct Naive {
    std::map<StepId, NaiveStep> steps;
    std::map<MachineId, NaiveMachine> machines;
    std::array<std::uint64_t, kShares> uses{};
    std::array<NaiveGate, kGates> gates;

    [[nodiscard]] HeadOrder orderOf(const NaiveStep& step) const
    {
        std::uint64_t use = UINT64_MAX;
        for (const ShareIndex share : step.shares)
            use = std::min(use, uses[share]);
        return {step.wish.bump, use, step.wish.order};
    }
    [[nodiscard]] bool passes(const NaiveStep& step) const
    {
        const std::uint64_t cpus = std::max(step.ask.reserved.cpus, 1U);
        return std::all_of(gates.begin(), gates.end(), [&](const NaiveGate& gate) {
            if (gate.index != step.wish.gates[0] && gate.index != step.wish.gates[1])
                return true;
            return (gate.limits.steps == 0 || gate.steps < gate.limits.steps) &&
                   (gate.limits.cpus == 0 || gate.cpus + cpus <= gate.limits.cpus);
        });
    }
    [[nodiscard]] static bool isAvoided(const NaiveStep& step, MachineId id)
    {
        return std::find(step.avoid.begin(), step.avoid.end(), id) != step.avoid.end();
    }
    [[nodiscard]] static bool isOpenFor(const NaiveStep& step, const NaiveMachine& machine)
    {
        return machine.status.able && machine.status.open && allowsName(step.placement, machine.facts.name) &&
               !mismatch(step.placement, capabilityOf(machine.facts));
    }
    [[nodiscard]] bool hasOpenBeside(const NaiveStep& step) const
    {
        Ask ask = step.ask;
        ask.reserved.cpus = std::max(ask.reserved.cpus, 1U);
        return std::any_of(machines.begin(), machines.end(), [&](const auto& entry) {
            return !isAvoided(step, entry.first) && isOpenFor(step, entry.second) && entry.second.room.couldFit(ask);
        });
    }
    [[nodiscard]] std::optional<MachineId> machineFor(const NaiveStep& step) const
    {
        const bool evenAvoided = !hasOpenBeside(step);
        std::optional<MachineRank> best;
        Ask ask = step.ask;
        ask.reserved.cpus = std::max(ask.reserved.cpus, 1U);
        for (const auto& [id, machine] : machines) {
            if (!isOpenFor(step, machine) || !machine.room.fits(ask) || (!evenAvoided && isAvoided(step, id)))
                continue;
            MachineRank rank{std::max(machine.room.takenPart(), machine.status.load), machine.status.load, id};
            if (machine.status.score != 0)
                rank = {~machine.status.score, machine.room.slotsTaken(), id};
            if (!best || rank < *best)
                best = rank;
        }
        return best ? std::optional(best->machine) : std::nullopt;
    }
    [[nodiscard]] std::optional<std::pair<StepId, MachineId>> next() const
    {
        std::optional<HeadOrder> first;
        std::optional<std::pair<StepId, MachineId>> chosen;
        for (const auto& [id, step] : steps) {
            if ((first && *first < orderOf(step)) || !passes(step))
                continue;
            if (const auto machine = machineFor(step)) {
                first = orderOf(step);
                chosen = {id, *machine};
            }
        }
        return chosen;
    }
};

// Planner and model side by side, fed the same drawn events.
struct Pair {
    explicit Pair(MachineSort order) : sort(order)
    {
        for (std::size_t i = 0; i < kGates; ++i) {
            const GateScope scope = i == 0 ? GateScope::Namespace : GateScope::Concurrency;
            naive.gates[i].index = planner.gates().acquire({scope, "default", i == 0 ? "" : std::to_string(i)});
        }
    }

    void facts()
    {
        const MachineId id(any<std::uint64_t>(1, kMachines + 1));
        NaiveMachine& machine = naive.machines[id];
        machine.facts = {};
        machine.facts.name = "m" + std::to_string(sometimes(4) ? any(1, 6) : static_cast<int>(id.value()));
        machine.facts.systems = {sometimes(2) ? "a" : "b"};
        if (sometimes(3))
            machine.facts.features = {"kvm"};
        planner.setFacts(id, machine.facts);
    }
    [[nodiscard]] Capacity anyCapacity() const
    {
        Capacity capacity{.slots = any<std::uint32_t>(0, 6), .resources = {any<std::uint32_t>(0, 9), 0, {}}};
        if (sometimes(2))
            capacity.resources.memoryBytes = any<std::uint64_t>(1, 9);
        if (sometimes(2))
            capacity.resources.named = {{"gpu", any<std::uint64_t>(0, 3)}};
        if (sometimes(2))
            capacity.busyCpus = any<std::uint32_t>(1, 9);
        capacity.unknownCpus = any<std::uint32_t>(1, 4);
        return capacity;
    }
    void status()
    {
        if (naive.machines.empty())
            return facts();
        const auto at = std::next(naive.machines.begin(), any<std::ptrdiff_t>(0, std::ssize(naive.machines)));
        NaiveMachine& machine = at->second;
        machine.status = {.able = !sometimes(5),
                          .open = !sometimes(5),
                          .capacity = anyCapacity(),
                          .foreign = sometimes(4) ? any<std::uint32_t>(0, 3) : 0,
                          .foreignCpus = sometimes(4) ? any<std::uint32_t>(0, 6) : 0,
                          .load = any<std::uint32_t>(0, 65'537)};
        if (sort == MachineSort::SpeedFactorOnly)
            machine.status.score = any<std::uint64_t>(1, 4);
        machine.room.setCapacity(machine.status.capacity);
        machine.room.setForeign(machine.status.foreign, machine.status.foreignCpus);
        planner.setStatus(at->first, machine.status);
    }
    void removeMachine()
    {
        if (naive.machines.empty())
            return;
        const auto at = std::next(naive.machines.begin(), any<std::ptrdiff_t>(0, std::ssize(naive.machines)));
        planner.removeMachine(at->first);
        naive.machines.erase(at);
        // What ran there ends later and then gives back only its gates, unless the id has come back: the core knows
        // no such thing, so here it ends now.
        for (auto run = running.begin(); run != running.end();)
            run = naive.machines.contains(run->start.machine) ? std::next(run) : end(run);
    }
    void enqueue()
    {
        NaiveStep step;
        if (sometimes(2))
            step.placement.system = sometimes(2) ? "a" : "b";
        if (sometimes(5))
            step.placement.features = {"kvm"};
        if (sometimes(4))
            step.placement.machines = {"m1", "m" + std::to_string(any(2, 6))};
        step.ask.reserved.cpus = any<std::uint32_t>(0, 4);
        step.ask.reserved.memoryBytes = sometimes(3) ? any<std::uint64_t>(1, 9) : 0;
        if (sometimes(5))
            step.ask.reserved.named = {{"gpu", any<std::uint64_t>(1, 3)}};
        step.ask.expectedCpus = sometimes(2) ? any<std::uint32_t>(0, 5) : 0;
        step.ask.expectedMemoryBytes = sometimes(3) ? any<std::uint64_t>(1, 12) : 0;
        for (std::uint64_t id = 1; id <= kMachines; ++id)
            if (sometimes(6))
                step.avoid.emplace_back(id);
        for (ShareIndex share = 0; share < kShares; ++share)
            if (sometimes(2))
                step.shares.push_back(share);
        if (step.shares.empty())
            step.shares = {any<ShareIndex>(0, kShares)};
        if (sometimes(3))
            step.wish.gates = {naive.gates[0].index,
                               sometimes(2) ? naive.gates[any<std::size_t>(1, kGates)].index : 0};
        if (sometimes(4))
            step.wish.bump = bumpOrder(WallTime::fromMicros(any<std::int64_t>(1, 4)));
        step.wish.order = {any<std::uint64_t>(0, 3), any<std::uint64_t>(0, 3), StepId(++lastStep)};
        put(std::move(step));
    }
    void put(NaiveStep step)
    {
        const StepId id = step.wish.order.step;
        NaiveStep& kept = naive.steps[id] = std::move(step);
        kept.wish.placement = planner.placements().acquire(kept.placement);
        kept.wish.ask = planner.asks().acquire(kept.ask);
        kept.wish.avoid = kept.avoid;
        kept.wish.shares = kept.shares;
        kept.leaf = planner.enqueue(kept.wish);
    }
    void dequeue(bool again)
    {
        if (naive.steps.empty())
            return;
        const auto at = std::next(naive.steps.begin(), any<std::ptrdiff_t>(0, std::ssize(naive.steps)));
        planner.dequeue(at->second.leaf, at->second.wish.order);
        NaiveStep step = std::move(at->second);
        naive.steps.erase(at);
        drop(step);
        if (!again)
            return;
        step.wish.bump = bumpOrder(WallTime::fromMicros(any<std::int64_t>(1, 9)));
        step.wish.order.urgency = any<std::uint64_t>(0, 3);
        put(std::move(step));
    }
    void drop(const NaiveStep& step) // a step that has left its queue
    {
        planner.asks().release(step.wish.ask);
        static_cast<void>(planner.placements().release(step.wish.placement));
    }
    void use()
    {
        const auto share = any<ShareIndex>(0, kShares);
        naive.uses[share] = any<std::uint64_t>(0, 5);
        planner.setUse(share, naive.uses[share]);
    }
    void limit()
    {
        NaiveGate& gate = naive.gates[any<std::size_t>(0, kGates)];
        gate.limits = {any<std::uint32_t>(0, 4), sometimes(2) ? any<std::uint32_t>(0, 6) : 0};
        if (planner.gates().setLimits(gate.index, gate.limits))
            planner.gateOpened(gate.index);
    }
    std::vector<Running>::iterator end(std::vector<Running>::iterator run)
    {
        const Start start = run->start;
        const std::uint32_t cpus = run->ask.reserved.cpus;
        for (NaiveGate& gate : naive.gates)
            if (gate.index == start.gates[0] || gate.index == start.gates[1]) {
                --gate.steps;
                gate.cpus -= cpus;
            }
        if (const auto machine = naive.machines.find(start.machine); machine != naive.machines.end())
            machine->second.room.give(run->ask);
        planner.leaveGates(start.ask, start.gates);
        planner.giveRoom(start.machine, start.ask);
        planner.asks().release(start.ask);
        return running.erase(run);
    }
    void finish()
    {
        if (!running.empty())
            static_cast<void>(end(running.begin() + any<std::ptrdiff_t>(0, std::ssize(running))));
    }
    void entered(const Start& start)
    {
        const NaiveStep& step = naive.steps.at(start.step);
        const Ask ask = planner.asks().at(start.ask);
        naive.machines.at(start.machine).room.take(ask);
        for (NaiveGate& gate : naive.gates)
            if (gate.index == start.gates[0] || gate.index == start.gates[1]) {
                ++gate.steps;
                gate.cpus += ask.reserved.cpus;
            }
        running.push_back({start, ask});
        static_cast<void>(planner.placements().release(step.wish.placement)); // the ask stays until its end
        naive.steps.erase(start.step);
    }
    void checked() const
    {
        const Result<void> result = planner.check();
        if (!result)
            RC_FAIL(result.error().message);
        RC_ASSERT(planner.queued() == naive.steps.size());
    }
    void change()
    {
        switch (any(0, 16)) {
        case 0: facts(); break;
        case 1:
        case 2:
        case 3: status(); break;
        case 4: sometimes(4) ? removeMachine() : facts(); break;
        case 5: dequeue(false); break;
        case 6: dequeue(true); break;
        case 7:
        case 8: use(); break;
        case 9: limit(); break;
        case 10:
        case 11: finish(); break;
        default: enqueue(); break;
        }
        now = now + seconds(any(0, 60));
        checked();
    }
    void compareNext(bool& isOver)
    {
        VisitBudget budget(UINT64_MAX);
        const auto wanted = naive.next();
        const std::optional<Start> start = planner.next(budget, now);
        RC_ASSERT(start.has_value() == wanted.has_value());
        isOver = !start;
        if (isOver)
            return;
        RC_ASSERT(start->step == wanted->first);
        RC_ASSERT(start->machine == wanted->second);
        entered(*start);
        checked();
    }

    MachineSort sort;
    Planner planner;
    Naive naive;
    std::vector<Running> running;
    std::uint64_t lastStep = 0;
    Instant now{std::chrono::hours(1)};
};

void compareHistories(MachineSort sort)
{
    Pair pair(sort);
    const int events = any(20, 400);
    for (int i = 0; i < events; ++i) {
        pair.change();
        const int starts = any(0, 4);
        bool isOver = sometimes(2);
        for (int j = 0; j < starts && !isOver; ++j)
            pair.compareNext(isOver);
    }
    for (bool isOver = false; !isOver;)
        pair.compareNext(isOver);
    RC_CLASSIFY(pair.lastStep - pair.naive.steps.size() > 20);
    RC_CLASSIFY(pair.lastStep - pair.naive.steps.size() > 5);
}

RC_GTEST_PROP(Planner, ChoosesLikeOneThatLooksAtEverythingByHeadroom, ())
{
    compareHistories(MachineSort::Headroom);
}

RC_GTEST_PROP(Planner, ChoosesLikeOneThatLooksAtEverythingBySpeedFactor, ())
{
    compareHistories(MachineSort::SpeedFactorOnly);
}

// With machines kept free the order is another; but what starts may start, and nothing is kept for ever.
RC_GTEST_PROP(Planner, KeepsFewMachinesFreeAndNoneForEver, ())
{
    Pair pair(MachineSort::Headroom);
    const int events = any(20, 400);
    const auto startAll = [&pair] {
        VisitBudget budget(UINT64_MAX);
        while (const std::optional<Start> start = pair.planner.next(budget, pair.now)) {
            const NaiveStep& step = pair.naive.steps.at(start->step);
            const NaiveMachine& machine = pair.naive.machines.at(start->machine);
            RC_ASSERT(pair.naive.passes(step));
            RC_ASSERT(Naive::isOpenFor(step, machine));
            RC_ASSERT(machine.room.fits(pair.planner.asks().at(start->ask)));
            pair.entered(*start);
            pair.checked();
        }
    };
    for (int i = 0; i < events; ++i) {
        pair.change();
        if (sometimes(2))
            startAll();
        if (sometimes(2))
            static_cast<void>(pair.planner.reserveFor(minutes(1), pair.now));
        pair.checked();
        std::size_t reserved = 0;
        for (const auto& [id, machine] : pair.naive.machines)
            reserved += pair.planner.isReserved(id) ? 1U : 0U;
        RC_ASSERT(reserved <= std::max<std::size_t>(pair.naive.machines.size() / 8, 1) + 1);
    }
    // Everything that runs ends, one after another, and what is not ours too: whoever can start does.
    for (auto& [id, machine] : pair.naive.machines) {
        machine.status.foreign = 0;
        machine.status.foreignCpus = 0;
        machine.room.setForeign(0, 0);
        pair.planner.setStatus(id, machine.status);
        pair.checked();
    }
    for (startAll(); !pair.running.empty(); startAll())
        static_cast<void>(pair.end(pair.running.begin()));
    RC_ASSERT(!pair.naive.next());
    for (const auto& [id, machine] : pair.naive.machines)
        RC_ASSERT(!pair.planner.isReserved(id) || !pair.naive.steps.empty());
}

} // namespace
} // namespace penstock::sched
