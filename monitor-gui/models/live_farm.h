// SPDX-License-Identifier: GPL-3.0-or-later
// The farm as the window sees it: takes batches from the stream, keeps the replicas, and tells views at most
// every kRefresh that something changed and every second that time has passed. GUI thread. Questions (another
// job, another log) go out through FarmRemote, which outlives it.
#pragma once

#include "monitor-gui/replica/farm_replica.h"
#include "monitor-gui/replica/history.h"
#include "monitor-gui/replica/job_replica.h"
#include "monitor-gui/replica/link_status.h"
#include "monitor-gui/replica/log_buffer.h"
#include "monitor-gui/replica/why_replica.h"

#include <chrono>
#include <QObject>
#include <QTimer>

namespace penstock::gui {

struct FarmRemote {
    virtual ~FarmRemote() = default;
    virtual void reconnect() = 0;
    virtual void resynchronise() = 0;
    virtual void watchJob(std::optional<JobId> job) = 0;
    virtual void watchLog(std::optional<AttemptId> attempt) = 0;
    virtual void explain(const WhyTarget& target) = 0; // once
};

class LiveFarm final : public QObject {
    Q_OBJECT
public:
    static constexpr std::chrono::milliseconds kRefresh{250};

    LiveFarm(FarmRemote& remote, const Clock& clock);

    void take(const std::vector<FeedEvent>& events, const LinkStatus& status);

    void reconnect() { m_remote.reconnect(); }
    void selectJob(std::optional<JobId> job);
    // None: the log follows the step of interest of the job.
    void selectStep(std::optional<StepId> step);

    // Ask now and every WhyReplica::kRefresh, until another or none is asked.
    void askWhy(std::optional<WhyTarget> target);

    [[nodiscard]] const WhyReplica& why() const { return m_why; }
    [[nodiscard]] const FarmReplica& farm() const { return m_farm; }
    [[nodiscard]] const JobReplica& job() const { return m_job; }
    [[nodiscard]] const LogBuffer& log() const { return m_log; }
    [[nodiscard]] const std::string& logRefusal() const { return m_logRefusal; }
    [[nodiscard]] StepPtr loggedStep() const; // whose log is shown; null: none
    [[nodiscard]] const History& history() const { return m_history; }
    [[nodiscard]] const LinkStatus& link() const { return m_status; }
    [[nodiscard]] Chip chip() const;
    [[nodiscard]] Now now() const { return m_clock.now(); }
    [[nodiscard]] WallTime serverNow() const { return m_farm.serverNow(m_clock.now()); }

Q_SIGNALS:
    void refreshed();    // some record, line or the connection changed
    void secondPassed(); // ages and countdowns move on

private:
    void apply(const FeedEvent& event, Now now);
    void scheduleRefresh();
    void askDue();
    void followLog();

    FarmRemote& m_remote;
    const Clock& m_clock;
    FarmReplica m_farm;
    JobReplica m_job;
    LogBuffer m_log;
    WhyReplica m_why;
    History m_history;
    LinkStatus m_status;
    std::optional<StepId> m_step;       // chosen by the person
    std::optional<AttemptId> m_attempt; // whose log is watched
    std::optional<StepId> m_loggedStep;
    std::string m_logRefusal;
    QTimer m_refresh;
    QTimer m_second;
};

} // namespace penstock::gui
