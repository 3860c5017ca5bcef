// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/assignment_desk.h"

#include "shared/protocol/frame.h"
#include "tests/support/hooked_store.h"
#include "tests/support/pumped_loop.h"
#include "tests/support/store_rows.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <optional>

namespace penstock::app {
namespace {

protocol::Assignment assignment(std::uint64_t id, bool isNix = true)
{
    protocol::Assignment made;
    made.attempt = AttemptId(id);
    made.step = StepId(id);
    if (isNix)
        made.work = protocol::NixWork{"/nix/store/" + std::to_string(id) + ".drv", {}, {}, {}};
    else
        made.work = protocol::CommandWork{{"true"}, {}};
    return made;
}

protocol::Desired desiredOf(std::uint64_t revision, std::vector<protocol::Assignment> assign)
{
    protocol::Desired desired;
    desired.revision = revision;
    desired.assign = std::move(assign);
    return desired;
}

// What left, one word a message: "1:r5 7=text 8" is of session 1, revision 5, attempts 7 with its text and 8 without.
struct AssignmentDeskTest : ::testing::Test {
    void SetUp() override
    {
        ASSERT_TRUE(store.loadOpen().has_value());
        texts.emplace(loop, store, nix::StoreDir::standard(), TextOptions{"/nowhere"});
        AssignmentActions actions;
        actions.sendDesired = [this](SessionId session, const protocol::Desired& desired) {
            std::string text = fmt::format("{}:r{}", session.value(), desired.revision);
            for (const protocol::Assignment& each : desired.assign) {
                const auto* nix = std::get_if<protocol::NixWork>(&each.work);
                text += fmt::format(" {}{}", each.attempt.value(), nix == nullptr ? "" : "=" + nix->drv);
                if (nix != nullptr)
                    inputs.insert(inputs.end(), nix->inputPaths.begin(), nix->inputPaths.end());
            }
            sent.push_back(std::move(text));
        };
        actions.sendStored = [this](SessionId session, const std::vector<AttemptId>& attempts) {
            sent.push_back(fmt::format("{}:stored {}", session.value(), attempts.size()));
        };
        actions.fail = [this](SessionId session, AttemptId attempt, const std::string& why) {
            sent.push_back(fmt::format("{}:failed {}", session.value(), attempt.value()));
            reason = why;
        };
        actions.cutOff = [this](SessionId session, const std::string& why) {
            sent.push_back(fmt::format("{}:cut off", session.value()));
            reason = why;
        };
        desk.emplace(AssignmentDesk::Parts{loop, loop, quiet, *texts}, std::move(actions));
        for (std::uint64_t id = 1; id <= 3; ++id)
            putRow(id, fmt::format("t{}", id));
    }
    void putRow(std::uint64_t id, const std::string& drv)
    {
        work::StepRow row = store::nixStep(id);
        row.spec.work = std::make_shared<const work::Work>(
            work::NixWork{"/nix/store/" + std::to_string(id) + ".drv", drv, {fmt::format("in{}", id)}, {}});
        store.add(std::move(row));
    }
    void expectSent(const std::vector<std::string>& expected)
    {
        loop.until([&] { return sent.size() >= expected.size(); });
        EXPECT_EQ(sent, expected);
        sent.clear();
    }

    struct Quiet final : Logger {
        void log(LogLevel, std::string_view, std::initializer_list<LogField>) override {}
    };
    Quiet quiet;
    test::PumpedLoop loop;
    test::HookedStore store;
    std::optional<DerivationTexts> texts;
    std::optional<AssignmentDesk> desk;
    std::vector<std::string> sent;
    std::vector<std::string> inputs;
    std::string reason;
};

const SessionId kOne(1);
const SessionId kTwo(2);

TEST_F(AssignmentDeskTest, PutsTextsAndInputPathsIn)
{
    desk->desired(kOne, desiredOf(5, {assignment(1), assignment(9, false), assignment(2)}));
    expectSent({"1:r5 1=t1 9 2=t2"});
    EXPECT_EQ(inputs, (std::vector<std::string>{"in1", "in2"}));
    EXPECT_EQ(desk->waiting(), 0U);
}

TEST_F(AssignmentDeskTest, WhatNeedsNoTextLeavesAtOnce)
{
    desk->desired(kOne, desiredOf(5, {assignment(9, false)}));
    desk->stored(kOne, {AttemptId(4)});
    EXPECT_EQ(sent, (std::vector<std::string>{"1:r5 9", "1:stored 1"}));
}

TEST_F(AssignmentDeskTest, LaterMessagesOfTheSameSessionWaitAndThoseOfOthersDoNot)
{
    store.isHeld = true;
    desk->desired(kOne, desiredOf(5, {assignment(1)}));
    desk->desired(kOne, desiredOf(6, {assignment(9, false)}));
    desk->stored(kOne, {AttemptId(4)});
    desk->desired(kOne, desiredOf(7, {assignment(2)}));
    desk->stored(kTwo, {AttemptId(4), AttemptId(5)});
    EXPECT_EQ(desk->waiting(), 4U);
    expectSent({"2:stored 2"});
    store.release();
    expectSent({"1:r5 1=t1", "1:r6 9", "1:stored 1", "1:r7 2=t2"});
    desk->desired(kOne, desiredOf(8, {assignment(1), assignment(2)})); // known by now
    EXPECT_EQ(sent, std::vector<std::string>{"1:r8 1=t1 2=t2"});
}

TEST_F(AssignmentDeskTest, AnAttemptWithoutTextFailsBeforeTheOthersAreSent)
{
    protocol::Desired desired = desiredOf(5, {assignment(1), assignment(7), assignment(2)});
    desired.stop.push_back({AttemptId(3), "why"});
    desk->desired(kOne, std::move(desired));
    expectSent({"1:failed 7", "1:r5 1=t1 2=t2"});
    EXPECT_NE(reason.find("/nix/store/7.drv"), std::string::npos) << reason;
}

TEST_F(AssignmentDeskTest, AsksAgainWhileTheDatabaseIsAway)
{
    store.refuse = [](const auto&) { return Error{ErrorCode::Unavailable, "no route"}; };
    desk->desired(kOne, desiredOf(5, {assignment(1)}));
    desk->stored(kOne, {AttemptId(4)});
    loop.until([&] { return loop.timers() == 1; });
    loop.advance(std::chrono::milliseconds(200));
    EXPECT_EQ(store.questions, 2U);
    loop.until([&] { return loop.timers() == 1; });
    store.refuse = {};
    loop.advance(std::chrono::milliseconds(200));
    EXPECT_EQ(store.questions, 2U) << "each time it waits longer";
    loop.advance(std::chrono::milliseconds(200));
    expectSent({"1:r5 1=t1", "1:stored 1"});
}

TEST_F(AssignmentDeskTest, SaysNothingToASessionThatIsGone)
{
    store.isHeld = true;
    desk->desired(kOne, desiredOf(5, {assignment(1)}));
    desk->gone(kOne);
    EXPECT_EQ(desk->waiting(), 0U);
    desk->desired(kTwo, desiredOf(1, {assignment(1)}));
    store.release();
    expectSent({"2:r1 1=t1"});
}

TEST_F(AssignmentDeskTest, CutsOffABuilderForWhichTooMuchWaits)
{
    store.isHeld = true;
    desk->desired(kOne, desiredOf(5, {assignment(1)}));
    for (std::size_t at = 1; at < AssignmentDesk::kMaxWaiting; ++at)
        desk->stored(kOne, {AttemptId(4)});
    EXPECT_EQ(sent.size(), 0U);
    desk->stored(kOne, {AttemptId(4)});
    EXPECT_EQ(sent, std::vector<std::string>{"1:cut off"});
    EXPECT_NE(reason.find(std::to_string(AssignmentDesk::kMaxWaiting)), std::string::npos) << reason;
    EXPECT_EQ(desk->waiting(), 0U);
}

TEST_F(AssignmentDeskTest, ADerivationThatFitsIntoNoFrameFailsWithItsSize)
{
    putRow(8, std::string(protocol::kMaxFrameBytes, 'x'));
    desk->desired(kOne, desiredOf(5, {assignment(8), assignment(1)}));
    expectSent({"1:failed 8", "1:r5 1=t1"});
    EXPECT_NE(reason.find("4194"), std::string::npos) << reason;
}

TEST_F(AssignmentDeskTest, SplitsWhatWouldNotFitIntoAFrame)
{
    protocol::Desired desired = desiredOf(5, {});
    desired.complete = true;
    desired.draining = true;
    desired.wanted = {AttemptId(77)};
    for (std::uint64_t id = 1; id <= 5; ++id) {
        desired.assign.push_back(assignment(id));
        std::get<protocol::NixWork>(desired.assign.back().work).drv = std::string(id == 4 ? 3'000'000 : 500'000, 'x');
    }
    const auto messages = splitBySize(std::move(desired));
    ASSERT_EQ(messages.size(), 4U); // 1 and 2, 3, 4, 5
    EXPECT_EQ(messages[0].assign.size(), 2U);
    EXPECT_TRUE(messages[0].complete);
    EXPECT_EQ(messages[0].wanted.size(), 1U);
    for (std::size_t at = 0; at < messages.size(); ++at) {
        EXPECT_EQ(messages[at].revision, at + 1 == messages.size() ? 5U : 4U);
        EXPECT_TRUE(messages[at].draining);
        EXPECT_EQ(messages[at].complete, at == 0);
    }
    EXPECT_EQ(splitBySize(desiredOf(1, {})).size(), 1U);
}

} // namespace
} // namespace penstock::app
