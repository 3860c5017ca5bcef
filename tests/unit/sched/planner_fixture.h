// SPDX-License-Identifier: GPL-3.0-or-later
// A planner in a test's hands: machines and steps by short words, and every change followed by check().
#pragma once

#include "server/sched/planner.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <map>
#include <string>
#include <vector>

namespace penstock::sched::test {

struct WishFor { // a step: what is not said is the plainest
    std::uint64_t id = 0;
    work::Placement placement = {};
    Ask ask = {};
    std::vector<MachineId> avoid = {};
    std::vector<ShareIndex> shares = {0};
    GateSet gates = {};
    std::int64_t bumped = 0; // seconds; 0: not
    Urgency urgency = {};
    std::uint64_t age = 0;
};

struct PlannerTest : ::testing::Test {
    Planner planner;
    StepSort sort = StepSort::WithCriticalPath;
    Instant now{std::chrono::hours(1)};
    std::uint64_t visits = 0;

    struct Queued {
        LeafIndex leaf = 0;
        StepOrder order;
        AskIndex ask = 0;
    };
    std::map<std::uint64_t, Queued> queued;
    std::map<std::uint64_t, Start> started;

    void checked() const
    {
        const Result<void> result = planner.check();
        EXPECT_TRUE(result.has_value()) << (result ? "" : result.error().message);
    }

    static Capacity slots(std::uint32_t count) { return {.slots = count, .resources = {count, 0, {}}}; }
    void facts(std::uint64_t id, const std::string& system = {}, const std::string& name = {})
    {
        protocol::MachineFacts facts;
        facts.name = name.empty() ? fmt::format("m{}", id) : name;
        if (!system.empty())
            facts.systems = {system};
        planner.setFacts(MachineId(id), facts);
        checked();
    }
    void status(std::uint64_t id, const MachineStatus& status)
    {
        planner.setStatus(MachineId(id), status);
        checked();
    }
    void machine(std::uint64_t id, const Capacity& capacity, const std::string& system = {})
    {
        facts(id, system);
        status(id, {.able = true, .open = true, .capacity = capacity});
    }
    void machine(std::uint64_t id, std::uint32_t count, const std::string& system = {})
    {
        machine(id, slots(count), system);
    }

    static work::Placement forSystem(const std::string& name)
    {
        work::Placement placement;
        placement.system = name;
        return placement;
    }
    static work::Placement onMachines(std::vector<std::string> names)
    {
        work::Placement placement;
        placement.machines = std::move(names);
        return placement;
    }
    void step(const WishFor& wish)
    {
        const AskIndex ask = planner.asks().acquire(wish.ask);
        const StepOrder order{urgencyOf(sort, wish.urgency), wish.age == 0 ? wish.id : wish.age, StepId(wish.id)};
        const WallTime bumped = WallTime::fromMicros(wish.bumped * 1'000'000);
        const std::uint64_t bump = wish.bumped == 0 ? UINT64_MAX : bumpOrder(bumped);
        const LeafIndex leaf = planner.enqueue({.placement = planner.placements().acquire(wish.placement),
                                                .ask = ask,
                                                .avoid = wish.avoid,
                                                .shares = wish.shares,
                                                .gates = wish.gates,
                                                .bump = bump,
                                                .order = order});
        queued[wish.id] = {leaf, order, ask};
        checked();
    }
    void step(std::uint64_t id) { step(WishFor{.id = id}); }
    void steps(std::uint64_t first, std::uint64_t last)
    {
        for (std::uint64_t id = first; id <= last; ++id)
            step(id);
    }
    void dequeue(std::uint64_t id)
    {
        planner.dequeue(queued.at(id).leaf, queued.at(id).order);
        queued.erase(id);
        checked();
    }

    // "1@2 3@4 ": the next starts in their order, "more" at the end when the budget ran out.
    std::string plan(std::uint64_t budget = UINT64_MAX, std::size_t most = SIZE_MAX)
    {
        VisitBudget left(budget);
        std::string text;
        for (std::size_t count = 0; count < most; ++count) {
            const std::optional<Start> next = planner.next(left, now);
            checked();
            if (!next)
                break;
            queued.erase(next->step.value());
            started.insert_or_assign(next->step.value(), *next);
            text += fmt::format("{}@{} ", next->step.value(), next->machine.value());
        }
        visits = left.used();
        return text + (planner.more() ? "more" : "");
    }
    std::string one() { return plan(UINT64_MAX, 1); }
    void end(std::uint64_t id)
    {
        const Start& start = started.at(id);
        planner.leaveGates(start.ask, start.gates);
        planner.giveRoom(start.machine, start.ask);
        started.erase(id);
        checked();
    }
    std::size_t reserve(Duration stalled)
    {
        const std::size_t made = planner.reserveFor(stalled, now);
        checked();
        return made;
    }
    void use(ShareIndex share, std::uint64_t amount)
    {
        planner.setUse(share, amount);
        checked();
    }
    GateIndex gate(GateScope scope, const std::string& group, GateLimits limits)
    {
        const GateIndex gate = planner.gates().acquire({scope, "default", group});
        EXPECT_FALSE(planner.gates().setLimits(gate, limits));
        return gate;
    }
    void limit(GateIndex gate, GateLimits limits)
    {
        if (planner.gates().setLimits(gate, limits))
            planner.gateOpened(gate);
        checked();
    }
};

} // namespace penstock::sched::test
