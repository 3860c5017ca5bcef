// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/log_gate.h"

#include "server/hydra/build_logs.h"
#include "shared/base/queue.h"
#include "shared/base/std_loop.h"
#include "tests/support/temp_directory.h"

#include <fstream>
#include <future>
#include <gtest/gtest.h>
#include <optional>
#include <sstream>

namespace penstock::app {
namespace {

constexpr const char* kDrv = "/nix/store/00bgd045z0d4icpbc2yyz4gx48ak44la-hello.drv";
constexpr Duration kForever = std::chrono::hours(1);
constexpr Duration kAMoment = std::chrono::milliseconds(20);

struct NullLogger final : Logger {
    void log(LogLevel, std::string_view, std::initializer_list<LogField>) override {}
};

struct Passed {
    SessionId session;
    protocol::AttemptResult result;
    std::string text; // of Hydra's log at that moment
};

class Gate : public ::testing::Test {
protected:
    void make(LogGateOptions options)
    {
        onLoop([&] {
            m_gate = std::make_unique<LogGate>(
                m_loop, m_clock, m_logs, m_logger,
                [this](SessionId session, protocol::AttemptResult result) {
                    (void)m_passed.push({session, std::move(result), text()});
                },
                options);
        });
    }
    ~Gate() override
    {
        onLoop([this] { m_gate.reset(); });
    }
    void onLoop(const std::function<void()>& task)
    {
        std::promise<void> done;
        m_loop.post([&] {
            task();
            done.set_value();
        });
        done.get_future().wait();
    }
    static protocol::AttemptResult result(std::uint64_t bytes, protocol::Outcome outcome = protocol::Outcome::Failed)
    {
        protocol::AttemptResult result;
        result.attempt = AttemptId{1};
        result.outcome = outcome;
        result.logBytes = bytes;
        return result;
    }
    void hold(std::uint64_t session, const protocol::AttemptResult& result)
    {
        onLoop([&] { m_gate->hold(SessionId{session}, result); });
    }
    void add(std::uint64_t offset, const std::string& text)
    {
        m_logs.append({AttemptId{1}, offset, {{WallTime{}, protocol::Stream::Out, text}}}, [](auto) {});
    }
    [[nodiscard]] std::string text() const
    {
        std::ifstream in(hydra::buildLogPath(m_directory.path(), kDrv).value());
        std::stringstream all;
        all << in.rdbuf();
        return all.str();
    }
    // What was done by the log thread and the loop so far has been seen.
    void rest()
    {
        std::promise<void> done;
        m_logs.running(AttemptId{99}, [&] { done.set_value(); });
        done.get_future().wait();
        onLoop([] {});
    }

    test::TempDirectory m_directory;
    SystemClock m_clock;
    NullLogger m_logger;
    hydra::BuildLogs m_texts{m_directory.path(), m_clock, m_logger};
    logs::LogStore m_logs{m_directory.path() + "/ours", {}, m_logger, [](AttemptId, std::uint64_t, bool) {}, &m_texts};
    BoundedQueue<Passed> m_passed{100};
    StdLoop m_loop{"net"};
    std::unique_ptr<LogGate> m_gate;
};

TEST_F(Gate, HoldsAnyEndUntilTheLogIsWhole)
{
    make({kForever, 10});
    for (const auto outcome : {protocol::Outcome::Failed, protocol::Outcome::Succeeded, protocol::Outcome::TimedOut}) {
        protocol::AttemptResult end = result(6, outcome);
        end.attempt = AttemptId{static_cast<std::uint64_t>(outcome) + 10};
        const AttemptId attempt = end.attempt;
        m_logs.opened(attempt, kDrv);
        const auto send = [&](std::uint64_t offset, const char* text) {
            m_logs.append({attempt, offset, {{WallTime{}, protocol::Stream::Out, text}}}, [](auto) {});
        };
        send(0, "abc");
        hold(1, end);
        rest();
        onLoop([&] { EXPECT_EQ(m_gate->held(), 1U); });
        send(3, "def");
        const auto passed = m_passed.takeOne();
        EXPECT_EQ(passed->result, end);
        EXPECT_EQ(passed->text, "abcdef");
    }
}

TEST_F(Gate, DoesNotHoldWhatNobodyElseKeeps)
{
    make({kForever, 10});
    hold(1, result(1'000));
    EXPECT_EQ(m_passed.takeOne()->result.logBytes, 1'000U);
}

TEST_F(Gate, ABuilderThatSendsNoMoreIsNotWaitedForLong)
{
    make({kAMoment, 10});
    m_logs.opened(AttemptId{1}, kDrv);
    add(0, "half");
    hold(1, result(8));
    EXPECT_EQ(m_passed.takeOne()->text, "half");
    onLoop([&] { EXPECT_EQ(m_gate->cut(), 1U); });
    add(4, "late");
    rest();
    EXPECT_EQ(text(), "half");
}

TEST_F(Gate, TheEndIsForgottenWithItsSessionAndSaidAgainByTheNext)
{
    make({kForever, 10});
    m_logs.opened(AttemptId{1}, kDrv);
    add(0, "half");
    hold(1, result(8));
    onLoop([&] { m_gate->drop(SessionId{1}); });
    add(4, "rest");
    rest();
    onLoop([&] { EXPECT_EQ(m_gate->held(), 0U); });
    add(8, "!"); // it goes on
    hold(2, result(9));
    const auto passed = m_passed.takeOne();
    EXPECT_EQ(passed->session, SessionId{2});
    EXPECT_EQ(passed->text, "halfrest!");
}

TEST_F(Gate, ARepeatTakesThePlaceOfWhatIsHeld)
{
    make({kForever, 10});
    m_logs.opened(AttemptId{1}, kDrv);
    hold(1, result(4));
    hold(2, result(4));
    onLoop([&] { m_gate->drop(SessionId{1}); });
    add(0, "text");
    EXPECT_EQ(m_passed.takeOne()->session, SessionId{2});
    rest();
    hold(3, result(4)); // once more, after its end
    EXPECT_EQ(m_passed.takeOne()->session, SessionId{3});
}

TEST_F(Gate, BeyondTheBoundNothingWaits)
{
    make({kForever, 1});
    m_logs.opened(AttemptId{1}, kDrv);
    hold(1, result(8));
    m_logs.opened(AttemptId{2}, "/nix/store/00bgd045z0d4icpbc2yyz4gx48ak44la-other.drv");
    protocol::AttemptResult second = result(8);
    second.attempt = AttemptId{2};
    hold(1, second);
    EXPECT_EQ(m_passed.takeOne()->result.attempt, AttemptId{2});
}

} // namespace
} // namespace penstock::app
