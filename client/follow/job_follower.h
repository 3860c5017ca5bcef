// SPDX-License-Identifier: GPL-3.0-or-later
// Follows jobs to their end over a MonitorSession: their state, their steps and, if wanted, the log of every
// attempt, each byte once and in order, across reconnects. At most kMaxWatches jobs are watched at once; the
// rest wait their turn. One thread; the sink must outlive the follower.
#pragma once

#include "client/follow/log_cursor.h"
#include "client/follow/monitor_session.h"

#include <deque>
#include <map>
#include <QTimer>
#include <set>

namespace penstock::client {

struct JobSink {
    virtual ~JobSink() = default;
    virtual void onJob(const monitor::JobRecord& job) = 0;
    virtual void onStep(std::uint64_t job, const monitor::StepRecord& step) = 0;
    virtual void onLog(std::uint64_t job, const LogPiece& piece) = 0;
    virtual void onNotice(const std::string& text) = 0;
    // The job is final and, when logs are followed, so are they.
    virtual void onJobEnd(const monitor::JobRecord& job) = 0;
    // This job cannot be followed, e.g. "no job 42"; the others go on.
    virtual void onJobError(std::uint64_t job, const Error& error) = 0;
    // Every job given to add() has ended.
    virtual void onAllEnded() = 0;
    // No more can be learned.
    virtual void onLost(const Error& error) = 0;
    // Messages that are not about followed jobs.
    virtual void onOther(const monitor::FeedMessage&) {}
    virtual void onConnected() {}
};

[[nodiscard]] bool isFinal(monitor::JobState state);

class JobFollower final : public SessionListener {
public:
    static constexpr std::size_t kMaxWatches = 32;

    JobFollower(SessionSettings settings, bool withLogs, JobSink& sink);

    void open() { m_session.open(); }
    void add(std::uint64_t job);
    [[nodiscard]] MonitorSession& session() { return m_session; }
    // Jobs added that have not ended.
    [[nodiscard]] std::vector<std::uint64_t> openJobs() const;

    void onReady(bool again) override;
    void onMessage(const monitor::FeedMessage& message) override;
    void onLinkNotice(const std::string& text) override { m_sink.onNotice(text); }
    void onGaveUp(const Error& error) override { m_sink.onLost(error); }

private:
    struct AttemptLog {
        LogCursor cursor;
        std::uint64_t step = 0;
        std::uint64_t watch = 0; // of our own WatchLog; 0: comes with the job's watch
    };
    struct Followed {
        std::uint64_t watch = 0;
        monitor::JobRecord record;
        std::map<std::uint64_t, AttemptLog> logs; // by attempt
        bool asked = false;                       // its logs come with the job's own watch
        bool final = false;
        bool listed = false; // all steps were told
        bool told = false;   // the server has nothing more to say about it
        std::set<std::uint64_t> openSteps;
        bool chased = false; // final, and its open logs were asked for by themselves
    };
    using FollowedEntry = std::pair<const std::uint64_t, Followed>;

    void watchMore();
    void watchJob(std::uint64_t id, Followed& job);
    void watchLog(std::uint64_t id, std::uint64_t attempt, AttemptLog& log);
    void unwatch(std::uint64_t watch);
    void onJobUpdate(const monitor::JobUpdate& update);
    void onLogData(const monitor::LogData& data);
    void onWatchEnd(std::uint64_t watch, const Error* error);
    void maybeEnd(FollowedEntry& entry);
    void finish(std::uint64_t id);
    void onGraceOver();

    JobSink& m_sink;
    bool m_withLogs;
    std::deque<std::uint64_t> m_waiting;
    std::map<std::uint64_t, Followed> m_active;          // by job
    std::map<std::uint64_t, std::uint64_t> m_jobByWatch; // job and log watches alike
    std::uint64_t m_nextWatch = 1;
    bool m_reconnected = false;
    QTimer m_grace;           // for logs whose end never comes
    MonitorSession m_session; // last: it calls us back
};

} // namespace penstock::client
