// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/models/live_farm.h"

#include <variant>

namespace penstock::gui {

LiveFarm::LiveFarm(FarmRemote& remote, const Clock& clock) : m_remote(remote), m_clock(clock)
{
    m_refresh.setSingleShot(true);
    m_refresh.setInterval(kRefresh);
    connect(&m_refresh, &QTimer::timeout, this, &LiveFarm::refreshed);
    connect(&m_second, &QTimer::timeout, this, &LiveFarm::secondPassed);
    connect(&m_second, &QTimer::timeout, this, &LiveFarm::askDue);
    m_second.start(std::chrono::seconds(1));
}

void LiveFarm::take(const std::vector<FeedEvent>& events, const LinkStatus& status)
{
    const Now now = m_clock.now();
    const bool phaseChanged = status.phase != m_status.phase;
    m_status = status;
    for (const FeedEvent& event : events)
        apply(event, now);
    followLog();
    if (phaseChanged) {
        m_why.forgetSent();
        askDue();
    }
    if (phaseChanged)
        Q_EMIT secondPassed(); // a lost link is shown at once
    scheduleRefresh();
}

void LiveFarm::apply(const FeedEvent& event, Now now)
{
    Applied applied = Applied::Ignored;
    if (const auto* snapshot = std::get_if<SnapshotEvent>(&event.body)) {
        applied = m_farm.apply(*snapshot, event.serverTime, now);
    } else if (const auto* delta = std::get_if<DeltaEvent>(&event.body)) {
        applied = m_farm.apply(*delta, event.serverTime, now);
    } else if (const auto* job = std::get_if<JobEvent>(&event.body)) {
        m_job.apply(*job);
    } else if (const auto* explanation = std::get_if<ExplanationEvent>(&event.body)) {
        if (!m_why.apply(*explanation, now))
            askDue(); // an answer to the question before; the server is free for this one
    } else if (const auto* log = std::get_if<LogEvent>(&event.body);
               log != nullptr && log->attempt == m_attempt) {
        m_logRefusal = log->refusal;
        if (log->refusal.empty())
            m_log.apply(*log);
    }
    if (applied == Applied::Yes)
        m_history.observe(m_farm, event.serverTime);
    if (applied == Applied::NeedsResync)
        m_remote.resynchronise();
}

void LiveFarm::askWhy(std::optional<WhyTarget> target)
{
    if (target == m_why.target())
        return;
    m_why.ask(std::move(target));
    askDue();
    scheduleRefresh();
}

void LiveFarm::askDue()
{
    if (m_status.phase != LinkPhase::Open)
        return; // asked again when the connection stands
    if (const std::optional<WhyTarget> target = m_why.due(m_clock.now()))
        m_remote.explain(*target);
}

void LiveFarm::scheduleRefresh()
{
    if (!m_refresh.isActive())
        m_refresh.start();
}

void LiveFarm::selectJob(std::optional<JobId> job)
{
    if (job == m_job.watched())
        return;
    m_job.watch(job);
    m_step.reset();
    m_remote.watchJob(job);
    followLog();
    scheduleRefresh();
}

void LiveFarm::selectStep(std::optional<StepId> step)
{
    m_step = step;
    followLog();
    scheduleRefresh();
}

// The chosen step's newest attempt; with no choice the step of interest, and then stay with it while it runs.
void LiveFarm::followLog()
{
    const auto& steps = m_job.steps();
    StepPtr wanted;
    if (m_step && steps.contains(*m_step))
        wanted = steps.at(*m_step);
    else if (m_loggedStep && steps.contains(*m_loggedStep) &&
             steps.at(*m_loggedStep)->state == StepState::Running)
        wanted = steps.at(*m_loggedStep);
    else
        wanted = m_job.stepOfInterest();
    const std::optional<AttemptId> attempt = wanted ? wanted->attempt : std::nullopt;
    m_loggedStep = wanted ? std::optional(wanted->id) : std::nullopt;
    if (attempt == m_attempt)
        return;
    m_attempt = attempt;
    m_log.clear();
    m_logRefusal.clear();
    m_remote.watchLog(attempt);
}

StepPtr LiveFarm::loggedStep() const
{
    const auto& steps = m_job.steps();
    return m_loggedStep && steps.contains(*m_loggedStep) ? steps.at(*m_loggedStep) : nullptr;
}

Chip LiveFarm::chip() const
{
    return chipOf(m_status, m_farm.lastFarmMessage(), m_clock.now());
}

} // namespace penstock::gui
