// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/bridges.h"

#include "server/hydra/build_logs.h"
#include "server/store/memory_store.h"
#include "tests/support/pumped_loop.h"
#include "tests/support/temp_directory.h"
#include "tests/support/workload_requests.h"

#include <gtest/gtest.h>

#include <fstream>
#include <optional>
#include <sstream>

namespace penstock::app {
namespace {

constexpr const char* kDrv = "/nix/store/00bgd045z0d4icpbc2yyz4gx48ak44la-hello.drv";
const SessionId kOwn(1);     // of the machine that builds
const SessionId kForeign(2); // of another

struct NullLogger final : Logger {
    void log(LogLevel, std::string_view, std::initializer_list<LogField>) override {}
};

// Two machines, of which the first builds the only derivation; both loops are the test's.
class Bridge : public ::testing::Test {
protected:
    void start(bool hasGate)
    {
        NetActions actions;
        actions.welcome = [](SessionId, MachineId) {};
        actions.desired = [this](SessionId session, const protocol::Desired& desired) {
            if (!desired.assign.empty())
                m_given.emplace(session, desired.assign.front().attempt);
        };
        actions.stored = [this](SessionId session, const std::vector<AttemptId>&) { m_stored.push_back(session); };
        actions.close = [](SessionId, protocol::GoodbyeReason, const std::string&) {};
        actions.reply = [](const core::Reply&) {};
        actions.publish = [](const core::Publish&) {};
        actions.attemptEnded = [](AttemptId, const std::string&) {};
        actions.fatal = [](const Error& error) { FAIL() << error.message; };
        m_coreBridge.emplace(m_loop, m_logs, std::move(actions));
        m_dispatcher.emplace(m_loop, m_loop, m_farm, m_store, *m_coreBridge);
        m_bridge.emplace(*m_dispatcher, m_logs, m_loop, m_loop,
                         [this](SessionId session, protocol::AttemptResult) { m_checked.push_back(session); });
        m_gate.emplace(m_loop, m_loop, m_logs, m_logger, [this](SessionId session, protocol::AttemptResult result) {
            m_bridge->finished(session, std::move(result));
        });
        m_bridge->setBeside({.gate = hasGate ? &*m_gate : nullptr, .checksAll = !hasGate});
        ASSERT_TRUE(m_farm.recover(*m_store.loadOpen(), m_loop.now()).has_value());
        connect(kOwn, 'a');
        submit();
        m_loop.until([this] { return m_given.has_value(); });
        connect(kForeign, 'b');
    }
    void connect(SessionId session, char identity)
    {
        protocol::Hello hello;
        hello.identity = std::string(32, identity);
        hello.instance = std::string(32, '1');
        hello.facts = test::machineFacts(std::string(1, identity), 1, 1);
        m_bridge->connected(session, hello, "local");
        say(session, protocol::Report{});
    }
    void submit()
    {
        core::JobRequest job;
        job.spec.name = "hello";
        core::StepRequest step;
        step.spec.name = "hello";
        step.spec.placement.executor = "nix";
        step.spec.placement.system = "x86_64-linux";
        step.spec.work = std::make_shared<const work::Work>(
            work::NixWork{kDrv, "Derive()", {}, {{"out", "/nix/store/00bgd045z0d4icpbc2yyz4gx48ak44la-hello"}}});
        step.root = true;
        job.steps.push_back(std::move(step));
        std::vector<core::JobRequest> jobs;
        jobs.push_back(std::move(job));
        m_dispatcher->post(core::SubmitJobs{RequestId(1), std::move(jobs)});
    }
    void say(SessionId session, protocol::BuilderMessage message)
    {
        std::vector<protocol::BuilderMessage> messages;
        messages.push_back(std::move(message));
        bool taken = false;
        m_bridge->messages(session, std::move(messages), [&taken] { taken = true; });
        m_loop.until([&taken] { return taken; });
        rest();
    }
    void sayFinished(SessionId session, std::uint64_t logBytes)
    {
        protocol::AttemptResult result;
        result.attempt = m_given->second;
        result.outcome = protocol::Outcome::Succeeded;
        result.outputs = {{"out", "/nix/store/00bgd045z0d4icpbc2yyz4gx48ak44la-hello", {}, 0}};
        result.logBytes = logBytes;
        say(session, std::move(result));
    }
    // What was done by the log thread and the loop so far has been seen.
    void rest()
    {
        for (int round = 0; round < 8; ++round) {
            bool seen = false;
            m_logs.running(AttemptId{99}, [&] { m_loop.post([&seen] { seen = true; }); });
            m_loop.until([&seen] { return seen; });
        }
    }
    void print(std::uint64_t offset, const std::string& text)
    {
        m_logs.append({m_given->second, offset, {{WallTime{}, protocol::Stream::Out, text}}}, [](auto) {});
        rest();
    }
    [[nodiscard]] std::string text() const
    {
        std::ifstream in(hydra::buildLogPath(m_directory.path(), kDrv).value());
        std::stringstream all;
        all << in.rdbuf();
        return all.str();
    }
    [[nodiscard]] bool isOver() const
    {
        const auto view = m_farm.attempt(m_given->second);
        return !view || view->progress.state == work::AttemptState::Ended;
    }

    test::TempDirectory m_directory;
    NullLogger m_logger;
    test::PumpedLoop m_loop;
    hydra::BuildLogs m_texts{m_directory.path(), m_loop, m_logger};
    logs::LogStore m_logs{m_directory.path() + "/ours", {}, m_logger, [](AttemptId, std::uint64_t, bool) {}, &m_texts};
    store::MemoryStore m_store{store::MemoryStore::inlineDefer()};
    core::FarmCore m_farm{core::CoreOptions{}};
    std::optional<CoreBridge> m_coreBridge;
    std::optional<dispatch::Dispatcher> m_dispatcher;
    std::optional<LinkBridge> m_bridge;
    std::optional<LogGate> m_gate;
    std::optional<std::pair<SessionId, AttemptId>> m_given;
    std::vector<SessionId> m_stored;
    std::vector<SessionId> m_checked;
};

TEST_F(Bridge, NobodyElseEndsTheTextOfWhatAMachineBuilds)
{
    start(true);
    ASSERT_EQ(m_given->first, kOwn);
    print(0, "one\n");
    sayFinished(kForeign, 0);
    print(4, "two\n");
    EXPECT_EQ(text(), "one\ntwo\n");
    EXPECT_FALSE(isOver());
}

TEST_F(Bridge, NobodyElseTakesThePlaceOfAResultThatIsHeld)
{
    start(true);
    sayFinished(kOwn, 4);
    sayFinished(kForeign, 4);
    EXPECT_EQ(m_gate->held(), 1U);
    EXPECT_FALSE(isOver());
    print(0, "one\n");
    sayFinished(kForeign, 4); // whatever becomes of it
    ASSERT_EQ(m_checked, std::vector<SessionId>());
    EXPECT_TRUE(isOver());
    EXPECT_EQ(m_stored, std::vector<SessionId>{kOwn});
}

TEST_F(Bridge, OutputsAreLookedUpForTheMachineOfTheAttemptOnly)
{
    start(false);
    sayFinished(kForeign, 0);
    EXPECT_EQ(m_checked, std::vector<SessionId>());
    sayFinished(kOwn, 0);
    EXPECT_EQ(m_checked, std::vector<SessionId>{kOwn});
}

TEST_F(Bridge, WhatASessionSaidIsForgottenWithIt)
{
    start(true);
    protocol::AttemptResult result;
    result.attempt = m_given->second;
    result.logBytes = 4;
    std::vector<protocol::BuilderMessage> messages;
    messages.emplace_back(std::move(result));
    m_bridge->messages(kOwn, std::move(messages), [] {});
    m_bridge->disconnected(kOwn, "gone"); // before the core has said whose it is
    rest();
    EXPECT_EQ(m_gate->held(), 0U);
}

// It has been told of the end before: the builder may forget it.
TEST_F(Bridge, AResultOfWhatIsOverIsAnsweredAtOnce)
{
    start(true);
    sayFinished(kOwn, 0);
    ASSERT_TRUE(isOver());
    sayFinished(kOwn, 1'000);
    EXPECT_EQ(m_gate->held(), 0U);
    EXPECT_EQ(m_stored, (std::vector<SessionId>{kOwn, kOwn}));
}

} // namespace
} // namespace penstock::app
