// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/core/builder_core.h"

#include "shared/protocol/limits.h"

#include <functional>
#include <gtest/gtest.h>

namespace penstock::builder {
namespace {

using protocol::Outcome;
using protocol::RejectReason;

protocol::MachineFacts facts(std::uint32_t slots)
{
    protocol::MachineFacts facts;
    facts.name = "wheel";
    facts.executors = {"command"};
    facts.maxJobs = slots;
    return facts;
}

protocol::Assignment assignment(std::uint64_t attempt, std::uint64_t step)
{
    protocol::Assignment assignment;
    assignment.attempt = AttemptId(attempt);
    assignment.step = StepId(step);
    assignment.job = JobId(1);
    assignment.work = protocol::CommandWork{{"true"}, {}};
    return assignment;
}

// A core with its commands as short words: "start 1", "accept 1", "reject 1 no_slot", "stop 1", "result 1", "forget 1".
class Machine {
public:
    explicit Machine(std::uint32_t slots = 2, std::vector<RecoveredAttempt> recovered = {})
        : m_core(facts(slots), std::move(recovered))
    {
        apply(LinkUp{});
    }
    std::vector<std::string> apply(CoreEvent event)
    {
        std::vector<std::string> words;
        for (const CoreCommand& command : m_core.apply({std::move(event)}))
            words.push_back(wordOf(command));
        EXPECT_EQ(m_core.findBrokenInvariant(), "");
        return words;
    }
    std::vector<std::string> desire(protocol::Desired desired)
    {
        desired.revision = ++m_revision;
        return apply(DesiredArrived{std::move(desired)});
    }
    std::vector<std::string> assign(std::uint64_t attempt, std::uint64_t step)
    {
        protocol::Desired desired;
        desired.assign = {assignment(attempt, step)};
        return desire(desired);
    }
    std::vector<std::string> stop(std::uint64_t attempt)
    {
        protocol::Desired desired;
        desired.stop = {{AttemptId(attempt), "cancelled"}};
        return desire(desired);
    }
    std::vector<std::string> want(std::vector<AttemptId> wanted)
    {
        protocol::Desired desired;
        desired.complete = true;
        desired.wanted = std::move(wanted);
        return desire(desired);
    }
    std::vector<std::string> end(std::uint64_t attempt, Outcome outcome = Outcome::Succeeded)
    {
        protocol::AttemptResult result;
        result.attempt = AttemptId(attempt);
        result.outcome = outcome;
        return apply(AttemptEnded{result});
    }
    std::vector<std::string> stored(std::uint64_t attempt) { return apply(StoredArrived{{AttemptId(attempt)}}); }
    BuilderCore& core() { return m_core; }

private:
    static std::string wordOf(const CoreCommand& command)
    {
        if (const auto* start = std::get_if<StartAttempt>(&command))
            return "start " + std::to_string(start->assignment.attempt.value());
        if (const auto* stop = std::get_if<StopAttempt>(&command))
            return "stop " + std::to_string(stop->attempt.value()) + (stop->atOnce ? " now" : "");
        if (const auto* forget = std::get_if<ForgetAttempt>(&command))
            return "forget " + std::to_string(forget->attempt.value()) + (forget->dropLog ? " log" : "");
        if (const auto* drained = std::get_if<Drained>(&command))
            return "drained " + std::to_string(drained->unsent);
        const auto& message = std::get<Send>(command).message;
        if (const auto* answer = std::get_if<protocol::AttemptAnswer>(&message))
            return (answer->accepted ? "accept " : "reject ") + std::to_string(answer->attempt.value()) +
                   (answer->accepted ? "" : " " + std::string(toString(answer->reason)));
        if (const auto* result = std::get_if<protocol::AttemptResult>(&message))
            return "result " + std::to_string(result->attempt.value());
        if (const auto* drain = std::get_if<protocol::Drain>(&message))
            return drain->draining ? "drain" : "undrain";
        return "message " + std::to_string(message.index());
    }

    BuilderCore m_core;
    std::uint64_t m_revision = 0;
};

using Words = std::vector<std::string>;

TEST(BuilderCore, AcceptsAndStartsWhatFits)
{
    Machine machine;
    EXPECT_EQ(machine.assign(1, 10), (Words{"accept 1", "start 1"}));
    EXPECT_EQ(machine.core().runningCount(), 1U);
    EXPECT_EQ(machine.core().report().held, (std::vector<protocol::HeldAttempt>{{AttemptId(1), false}}));
}

TEST(BuilderCore, StartsNothingTwice)
{
    Machine machine;
    machine.assign(1, 10);
    EXPECT_EQ(machine.assign(1, 10), (Words{"accept 1"}));
    machine.stop(1);
    EXPECT_EQ(machine.assign(1, 10), (Words{"accept 1"}));
    machine.end(1);
    EXPECT_EQ(machine.assign(1, 10), (Words{"accept 1", "result 1"}));
    machine.stored(1);
    EXPECT_EQ(machine.assign(1, 10), (Words{"reject 1 stale"}));
}

TEST(BuilderCore, RejectsWithTheReason)
{
    Machine machine(1);
    machine.assign(1, 10);
    EXPECT_EQ(machine.assign(2, 20), (Words{"reject 2 no_slot"}));
    machine.end(1);
    machine.apply(ResourcesChanged{"disk is full"});
    EXPECT_EQ(machine.assign(3, 30), (Words{"reject 3 resources"}));
    machine.apply(ResourcesChanged{""});
    protocol::Desired desired;
    desired.assign = {assignment(4, 40)};
    desired.assign[0].work = protocol::NixWork{"/nix/store/x.drv", "", {}, {}};
    desired.bad = {{AttemptId(5), RejectReason::Invalid, "odd"}};
    EXPECT_EQ(machine.desire(desired), (Words{"reject 5 invalid", "reject 4 unsupported"}));
    machine.apply(DrainAsked{true, ""});
    EXPECT_EQ(machine.assign(6, 60), (Words{"reject 6 draining"}));
}

protocol::Desired asking(const std::function<void(protocol::Assignment&)>& change, std::uint64_t attempt = 1)
{
    protocol::Desired desired;
    desired.assign = {assignment(attempt, attempt * 10)};
    change(desired.assign[0]);
    return desired;
}

TEST(BuilderCore, RefusesMoreThanTheMachineHasWithBothNumbers)
{
    protocol::MachineFacts small = facts(2);
    small.cores = 4;
    small.memoryBytes = 1000;
    small.resources = {{"gpu", 2}};
    const auto textOf = [&](const std::function<void(protocol::Assignment&)>& change) {
        BuilderCore fresh(small, {});
        const auto commands = fresh.apply({DesiredArrived{asking(change)}});
        const auto& answer = std::get<protocol::AttemptAnswer>(std::get<Send>(commands.at(0)).message);
        EXPECT_EQ(answer.reason, answer.accepted ? RejectReason::Unspecified : RejectReason::Resources);
        return answer.accepted ? "accepted" : answer.text;
    };
    using Asked = protocol::Assignment;
    EXPECT_EQ(textOf([](Asked& a) { a.cpus = 4; }), "accepted");
    EXPECT_EQ(textOf([](Asked& a) { a.cpus = 5; }), "5 cpus are asked for, this machine has 4");
    EXPECT_EQ(textOf([](Asked& a) { a.memoryBytes = 1000; }), "accepted");
    EXPECT_EQ(textOf([](Asked& a) { a.memoryBytes = 1001; }),
              "1001 bytes of memory are asked for, this machine has 1000");
    EXPECT_EQ(textOf([](Asked& a) { a.resources = {{"gpu", 2}}; }), "accepted");
    EXPECT_EQ(textOf([](Asked& a) { a.resources = {{"gpu", 3}}; }),
              "3 of the resource gpu are asked for, this machine has 2");
    EXPECT_EQ(textOf([](Asked& a) { a.resources = {{"licence", 1}}; }),
              "1 of the resource licence are asked for, this machine has 0");
}

TEST(BuilderCore, TakesAsManyCpusAsItHasSlotsWhereThoseAreMore)
{
    protocol::MachineFacts small = facts(8);
    small.cores = 2;
    const auto isAccepted = [&](std::uint32_t cpus, bool beyondSlots) {
        BuilderCore fresh(small, {});
        const auto commands = fresh.apply({DesiredArrived{asking([&](protocol::Assignment& assignment) {
            assignment.cpus = cpus;
            assignment.beyondSlots = beyondSlots;
        })}});
        return std::get<protocol::AttemptAnswer>(std::get<Send>(commands.at(0)).message).accepted;
    };
    EXPECT_TRUE(isAccepted(8, false));
    EXPECT_FALSE(isAccepted(9, false));
    EXPECT_TRUE(isAccepted(9, true)) << "the server reckons without slots and cores";
}

TEST(BuilderCore, LetsThroughWhatItDoesNotKnowOfItself)
{
    Machine machine; // its cores and memory could not be read
    EXPECT_EQ(machine.desire(asking([](protocol::Assignment& a) {
                  a.cpus = 64;
                  a.memoryBytes = 1ULL << 40U;
              })),
              (Words{"accept 1", "start 1"}));
}

TEST(BuilderCore, GoesBeyondItsSlotsOnlyWhenTheServerSaysSo)
{
    Machine machine(1);
    machine.assign(1, 10);
    EXPECT_EQ(machine.assign(2, 20), (Words{"reject 2 no_slot"}));
    const auto beyond = [](protocol::Assignment& a) { a.beyondSlots = true; };
    EXPECT_EQ(machine.desire(asking(beyond, 3)), (Words{"accept 3", "start 3"}));
    EXPECT_EQ(machine.core().runningCount(), 2U);
    EXPECT_EQ(machine.assign(4, 40), (Words{"reject 4 no_slot"}));
}

TEST(BuilderCore, TakesNoMoreThanTheHardLimitWhateverTheServerSays)
{
    Machine machine(1);
    const auto beyond = [](protocol::Assignment& a) { a.beyondSlots = true; };
    for (std::uint64_t attempt = 1; attempt <= protocol::kMaxSlots; ++attempt)
        ASSERT_EQ(machine.desire(asking(beyond, attempt)).size(), 2U) << attempt;
    EXPECT_EQ(machine.desire(asking(beyond, 5000)), (Words{"reject 5000 no_slot"}));
    machine.end(1);
    EXPECT_EQ(machine.desire(asking(beyond, 5001)), (Words{"accept 5001", "start 5001"}));
}

TEST(BuilderCore, FencesAnOlderAttemptOfTheStep)
{
    Machine machine;
    machine.assign(5, 10);
    EXPECT_EQ(machine.assign(4, 10), (Words{"reject 4 stale"}));
    EXPECT_EQ(machine.assign(6, 10), (Words{"stop 5 now", "accept 6", "start 6"}));
}

TEST(BuilderCore, HoldsAResultUntilItIsStored)
{
    Machine machine;
    machine.assign(1, 10);
    EXPECT_EQ(machine.stored(1), Words{}); // it runs: nothing to forget
    EXPECT_EQ(machine.end(1), (Words{"result 1"}));
    EXPECT_EQ(machine.core().report().held, (std::vector<protocol::HeldAttempt>{{AttemptId(1), true}}));
    EXPECT_EQ(machine.end(1), Words{});
    EXPECT_EQ(machine.stored(1), (Words{"forget 1"}));
    EXPECT_EQ(machine.stored(1), Words{});
    EXPECT_EQ(machine.core().heldCount(), 0U);
}

TEST(BuilderCore, GoesOnWithoutALinkAndDeliversWhenItIsBack)
{
    Machine machine;
    machine.assign(1, 10);
    EXPECT_EQ(machine.apply(LinkDown{}), Words{});
    EXPECT_EQ(machine.end(1), Words{});
    EXPECT_EQ(machine.apply(LinkUp{}), (Words{"result 1"}));
    machine.apply(LinkDown{});
    EXPECT_EQ(machine.apply(LinkUp{}), (Words{"result 1"}));
}

TEST(BuilderCore, StopsAndForgetsWhatIsNotWanted)
{
    Machine machine(3);
    machine.assign(1, 10);
    machine.assign(2, 20);
    machine.assign(3, 30);
    machine.end(3);
    EXPECT_EQ(machine.want({AttemptId(1)}), (Words{"stop 2", "forget 3 log"}));
    EXPECT_EQ(machine.end(2, Outcome::Cancelled), (Words{"forget 2 log"}));
    EXPECT_EQ(machine.core().heldCount(), 1U);
}

TEST(BuilderCore, ReportsAnOrderedStop)
{
    Machine machine;
    machine.assign(1, 10);
    EXPECT_EQ(machine.stop(1), (Words{"stop 1"}));
    EXPECT_EQ(machine.stop(1), Words{});
    EXPECT_EQ(machine.end(1, Outcome::Cancelled), (Words{"result 1"}));
    EXPECT_EQ(machine.stop(1), Words{});
    EXPECT_EQ(machine.stop(99), Words{});
}

TEST(BuilderCore, IgnoresALateRevisionButNotAfterANewLink)
{
    Machine machine;
    protocol::Desired second;
    second.revision = 5;
    machine.apply(DesiredArrived{second});
    protocol::Desired first;
    first.revision = 4;
    first.assign = {assignment(1, 10)};
    EXPECT_EQ(machine.apply(DesiredArrived{first}), Words{});
    EXPECT_EQ(machine.core().report().appliedRevision, 5U);
    machine.apply(LinkDown{});
    machine.apply(LinkUp{});
    EXPECT_EQ(machine.apply(DesiredArrived{first}), (Words{"accept 1", "start 1"}));
}

TEST(BuilderCore, IsDrainedWhenNothingRunsAndAllIsStored)
{
    Machine machine;
    machine.assign(1, 10);
    EXPECT_EQ(machine.apply(DrainAsked{true, "bye"}), (Words{"drain"}));
    EXPECT_EQ(machine.end(1), (Words{"result 1"}));
    EXPECT_EQ(machine.stored(1), (Words{"forget 1", "drained 0"}));
    EXPECT_EQ(machine.apply(ResourcesChanged{""}), Words{}); // said once
}

TEST(BuilderCore, DoesNotWaitForAServerThatIsAwayWhenDrained)
{
    Machine machine;
    machine.assign(1, 10);
    machine.apply(LinkDown{});
    machine.apply(DrainAsked{true, ""});
    EXPECT_EQ(machine.end(1), (Words{"drained 1"}));
}

TEST(BuilderCore, AbortsWithoutGrace)
{
    Machine machine;
    machine.assign(1, 10);
    machine.stop(1);
    EXPECT_EQ(machine.apply(StopAsked{"stopped"}), (Words{"stop 1 now"}));
    EXPECT_EQ(machine.assign(2, 20), (Words{"reject 2 draining"}));
}

TEST(BuilderCore, DeliversWhatAFormerRunHeld)
{
    protocol::AttemptResult result;
    result.attempt = AttemptId(8);
    BuilderCore core(facts(1), {{StepId(10), result}});
    EXPECT_EQ(core.report().held, (std::vector<protocol::HeldAttempt>{{AttemptId(8), true}}));
    EXPECT_EQ(core.runningCount(), 0U);
    EXPECT_EQ(core.apply({LinkUp{}}).size(), 1U);
    Machine machine(1, {{StepId(10), result}});
    EXPECT_EQ(machine.assign(7, 10), (Words{"reject 7 stale"}));
}

TEST(BuilderCore, OutputsOnTheirWayOutTakeNoSlot)
{
    Machine machine(1);
    machine.assign(1, 1);
    machine.apply(AttemptMoved{{AttemptId(1), "uploading", {}}});
    EXPECT_EQ(machine.assign(2, 2), (std::vector<std::string>{"accept 2", "start 2"}));
    machine.apply(AttemptMoved{{AttemptId(2), "uploading", {}}});
    // As many as there are slots: the server counts the same way.
    EXPECT_EQ(machine.assign(3, 3), (std::vector<std::string>{"reject 3 no_slot"}));
    machine.apply(AttemptMoved{{AttemptId(2), "finishing", {}}});
    EXPECT_EQ(machine.assign(4, 4), (std::vector<std::string>{"reject 4 no_slot"}));
}

} // namespace
} // namespace penstock::builder
