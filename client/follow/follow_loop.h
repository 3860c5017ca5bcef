// SPDX-License-Identifier: GPL-3.0-or-later
// Submits or takes over jobs and follows them to their end, with a person or a script in front: signals, the
// question detach-or-cancel, a reader that goes away, a server that goes away. Runs an event loop of its own
// and is for the top level of a command. What is shown is the FollowView's business.
#pragma once

#include "client/app/interrupts.h"
#include "client/app/invocation.h"
#include "client/follow/interruption.h"
#include "client/follow/job_follower.h"

#include <memory>
#include <optional>
#include <QEventLoop>

class QSocketNotifier;

namespace penstock::client {

// What a command shows of the jobs it follows. All from the loop's thread.
struct FollowView {
    virtual ~FollowView() = default;
    virtual void onJob(const monitor::JobRecord&) {}
    virtual void onStep(std::uint64_t, const monitor::StepRecord&) {}
    virtual void onLog(std::uint64_t, const LogPiece&) {}
    virtual void onJobEnd(const monitor::JobRecord&) {}
    virtual void onJobError(std::uint64_t, const Error&) {}
    // About ten times a second, for lines that are redrawn.
    virtual void onTick() {}
};

struct FollowEnd {
    enum class Kind : std::uint8_t { Finished, Detached, Left, Lost, Refused };
    Kind kind = Kind::Finished;
    int signal = 0;             // that led to it, also with Finished: the job was cancelled because of it
    bool outputClosed = false;  // cancelled since nobody reads standard output
    std::optional<Error> error; // Lost, Refused
};

class FollowLoop final : private JobSink {
public:
    FollowLoop(Invocation& invocation, FollowView& view, bool withLogs);
    ~FollowLoop() override;

    // The link is opened at once, beside whatever the caller does next.
    void open() { m_follower.open(); }
    void follow(std::uint64_t job) { m_follower.add(job); }
    // POSTs the job and follows it; started is called with the id.
    void submit(std::string json, std::function<void(std::uint64_t)> started);
    [[nodiscard]] JobFollower& follower() { return m_follower; }
    // Messages that are not about jobs, and each (re)connection, for uploads.
    void setOther(std::function<void(const monitor::FeedMessage&)> other) { m_other = std::move(other); }
    void setConnected(std::function<void()> connected) { m_connected = std::move(connected); }
    // For logs: neither a signal nor a closed output touches the job.
    void setWatchOnly() { m_watchOnly = true; }
    // Ends the loop with this.
    void end(FollowEnd end);

    // Until all jobs have ended or something else ends it.
    [[nodiscard]] FollowEnd run();

private:
    void onJob(const monitor::JobRecord& job) override { m_view.onJob(job); }
    void onStep(std::uint64_t job, const monitor::StepRecord& step) override { m_view.onStep(job, step); }
    void onLog(std::uint64_t job, const LogPiece& piece) override;
    void onNotice(const std::string& text) override;
    void onJobEnd(const monitor::JobRecord& job) override { m_view.onJobEnd(job); }
    void onJobError(std::uint64_t job, const Error& error) override { m_view.onJobError(job, error); }
    void onAllEnded() override;
    void onLost(const Error& error) override;
    void onOther(const monitor::FeedMessage& message) override;
    void onConnected() override;

    void onInterrupt(int signal);
    void act(InterruptAction action);
    void ask();
    void readAnswer();
    void cancelAll();
    void cancelOne(std::uint64_t job);

    Invocation& m_invocation;
    FollowView& m_view;
    QEventLoop m_loop;
    std::optional<FollowEnd> m_end;
    FollowMode m_mode = FollowMode::Following;
    int m_signal = 0;
    bool m_outputClosed = false;
    bool m_watchOnly = false;
    bool m_terminal = false; // a person can answer
    std::unique_ptr<HttpCall> m_submission;
    std::vector<std::unique_ptr<HttpCall>> m_cancellations;
    std::unique_ptr<QSocketNotifier> m_answer;
    std::function<void(const monitor::FeedMessage&)> m_other;
    std::function<void()> m_connected;
    QTimer m_tick;
    QTimer m_patience; // for the end of what was cancelled
    JobFollower m_follower;
    Interrupts m_interrupts;
};

// The exit code for ends that are the same everywhere; nothing for Finished without a signal.
[[nodiscard]] std::optional<int> exitCodeOf(const FollowEnd& end, int whenFarmFails);

} // namespace penstock::client
