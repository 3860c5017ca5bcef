// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/follow/job_follower.h"

#include "client/output/style.h"

#include <algorithm>
#include <fmt/format.h>

namespace penstock::client {

namespace {

// A finished job's log should end at once; a machine that died with the end of it never delivers.
constexpr std::chrono::seconds kGrace{10};

bool isFinal(monitor::StepState state)
{
    return state == monitor::STEP_SUCCEEDED || state == monitor::STEP_FAILED ||
           state == monitor::STEP_CANCELLED;
}

} // namespace

bool isFinal(monitor::JobState state)
{
    return state == monitor::JOB_SUCCEEDED || state == monitor::JOB_FAILED || state == monitor::JOB_CANCELLED;
}

JobFollower::JobFollower(SessionSettings settings, bool withLogs, JobSink& sink)
    : m_sink(sink), m_withLogs(withLogs), m_session(std::move(settings), *this)
{
    m_grace.setSingleShot(true);
    QObject::connect(&m_grace, &QTimer::timeout, &m_grace, [this] { onGraceOver(); });
}

void JobFollower::add(std::uint64_t job)
{
    m_waiting.push_back(job);
    watchMore();
}

std::vector<std::uint64_t> JobFollower::openJobs() const
{
    std::vector<std::uint64_t> jobs(m_waiting.begin(), m_waiting.end());
    for (const auto& [id, job] : m_active)
        jobs.push_back(id);
    return jobs;
}

void JobFollower::watchMore()
{
    while (!m_waiting.empty() && m_active.size() < kMaxWatches) {
        const auto id = m_waiting.front();
        m_waiting.pop_front();
        watchJob(id, m_active[id]);
    }
}

void JobFollower::watchJob(std::uint64_t id, Followed& job)
{
    if (!m_session.ready())
        return; // onReady asks for it
    job.watch = m_nextWatch++;
    m_jobByWatch[job.watch] = id;
    monitor::ClientMessage message;
    auto& watch = *message.mutable_watch_job();
    watch.set_watch(job.watch);
    watch.set_job_id(id);
    // Once something was received, logs are asked for one by one, each from where we stopped.
    watch.set_with_log(m_withLogs && job.logs.empty() && !m_reconnected);
    job.asked = watch.with_log();
    m_session.send(message);
}

void JobFollower::watchLog(std::uint64_t id, std::uint64_t attempt, AttemptLog& log)
{
    log.cursor.askedAgain();
    if (!m_session.ready())
        return;
    if (log.watch != 0)
        unwatch(log.watch);
    log.watch = m_nextWatch++;
    m_jobByWatch[log.watch] = id;
    monitor::ClientMessage message;
    auto& watch = *message.mutable_watch_log();
    watch.set_watch(log.watch);
    watch.set_attempt_id(attempt);
    watch.set_offset(log.cursor.next());
    watch.set_follow(true);
    m_session.send(message);
}

void JobFollower::unwatch(std::uint64_t watch)
{
    m_jobByWatch.erase(watch);
    monitor::ClientMessage message;
    message.mutable_unwatch()->set_watch(watch);
    m_session.send(message);
}

void JobFollower::onReady(bool again)
{
    m_reconnected = m_reconnected || again;
    m_jobByWatch.clear();
    for (auto& [id, job] : m_active) {
        watchJob(id, job);
        for (auto& [attempt, log] : job.logs) {
            log.watch = 0;
            if (!log.cursor.ended())
                watchLog(id, attempt, log);
        }
    }
    m_sink.onConnected();
}

void JobFollower::onMessage(const monitor::FeedMessage& message)
{
    switch (message.kind_case()) {
    case monitor::FeedMessage::kJob: onJobUpdate(message.job()); break;
    case monitor::FeedMessage::kLog: onLogData(message.log()); break;
    case monitor::FeedMessage::kEnd: {
        const Error error{ErrorCode::NotFound, message.end().error()};
        onWatchEnd(message.end().watch(), message.end().error().empty() ? nullptr : &error);
        break;
    }
    case monitor::FeedMessage::kProblem: {
        const auto& problem = message.problem();
        const Error error{problem.code() == "not_found" ? ErrorCode::NotFound : ErrorCode::Invalid,
                          problem.message()};
        if (m_jobByWatch.contains(problem.watch()))
            onWatchEnd(problem.watch(), &error);
        else
            m_sink.onOther(message);
        break;
    }
    default: m_sink.onOther(message); break;
    }
}

void JobFollower::onJobUpdate(const monitor::JobUpdate& update)
{
    const auto known = m_jobByWatch.find(update.watch());
    if (known == m_jobByWatch.end())
        return;
    const auto id = known->second;
    const auto entry = m_active.find(id);
    if (entry == m_active.end())
        return;
    auto& job = entry->second;
    if (update.has_job()) {
        job.record = update.job();
        job.final = isFinal(update.job().state());
        m_sink.onJob(job.record);
    }
    for (const auto& step : update.steps()) {
        m_sink.onStep(id, step);
        if (isFinal(step.state()))
            job.openSteps.erase(step.id());
        else
            job.openSteps.insert(step.id());
        // What was valid already has not run.
        if (!m_withLogs || step.attempt_id() == 0 || step.result() == "cached")
            continue;
        const auto [log, isNew] = job.logs.try_emplace(step.attempt_id());
        log->second.step = step.id();
        if (isNew && !job.asked)
            watchLog(id, step.attempt_id(), log->second);
    }
    job.listed = job.listed || update.complete();
    maybeEnd(*entry);
}

void JobFollower::onLogData(const monitor::LogData& data)
{
    const auto known = m_jobByWatch.find(data.watch());
    if (known == m_jobByWatch.end())
        return;
    const auto entry = m_active.find(known->second);
    if (entry == m_active.end())
        return;
    auto& log = entry->second.logs[data.attempt_id()];
    if (data.step_id() != 0)
        log.step = data.step_id(); // a log asked for by itself comes without
    const auto lostBefore = log.cursor.lost();
    auto pieces = log.cursor.take(data);
    if (log.cursor.missing()) {
        watchLog(entry->first, data.attempt_id(), log);
        return;
    }
    if (log.cursor.lost() != lostBefore)
        m_sink.onNotice(
            fmt::format("{} bytes of the log are missing on the server", log.cursor.lost() - lostBefore));
    for (auto& piece : pieces) {
        piece.step = log.step;
        m_sink.onLog(entry->first, piece);
    }
    if (m_grace.isActive())
        m_grace.start(kGrace);
    maybeEnd(*entry);
}

void JobFollower::onWatchEnd(std::uint64_t watch, const Error* error)
{
    const auto known = m_jobByWatch.find(watch);
    if (known == m_jobByWatch.end())
        return;
    const auto id = known->second;
    m_jobByWatch.erase(known);
    const auto entry = m_active.find(id);
    if (entry == m_active.end())
        return;
    auto& job = entry->second;
    if (job.watch != watch) {
        for (auto& [attempt, log] : job.logs)
            if (log.watch == watch)
                log.cursor.setEnded();
    } else if (error != nullptr && !job.final) {
        const auto copy = *error;
        m_active.erase(entry);
        m_sink.onJobError(id, copy);
        watchMore();
        if (m_active.empty() && m_waiting.empty())
            m_sink.onAllEnded();
        return;
    } else {
        // Nothing more comes with the job: its logs that have not ended must be asked for by themselves.
        job.asked = false;
        job.told = true;
        for (auto& [attempt, log] : job.logs)
            if (!log.cursor.ended() && log.watch == 0)
                watchLog(id, attempt, log);
    }
    maybeEnd(*entry);
}

void JobFollower::maybeEnd(FollowedEntry& entry)
{
    auto& [id, job] = entry;
    if (!job.final)
        return;
    const bool logsOpen = std::any_of(job.logs.begin(), job.logs.end(),
                                      [](const auto& log) { return !log.second.cursor.ended(); });
    // The job's end may be told before that of its last steps.
    const bool stepsTold = job.told || (job.listed && job.openSteps.empty());
    if (stepsTold && (!m_withLogs || !logsOpen)) {
        finish(id);
        return;
    }
    if (job.chased)
        return;
    job.chased = true;
    m_grace.start(kGrace);
    // The end of a short job can overtake our watch; asking again costs nothing, doubles are cut off.
    for (auto& [attempt, log] : job.logs)
        if (!log.cursor.ended() && log.watch == 0)
            watchLog(id, attempt, log);
}

void JobFollower::finish(std::uint64_t id)
{
    const auto entry = m_active.find(id);
    const auto record = entry->second.record;
    for (const auto& [attempt, log] : entry->second.logs)
        m_jobByWatch.erase(log.watch);
    if (m_jobByWatch.contains(entry->second.watch))
        unwatch(entry->second.watch);
    m_active.erase(entry);
    m_grace.stop();
    m_sink.onJobEnd(record);
    watchMore();
    if (m_active.empty() && m_waiting.empty())
        m_sink.onAllEnded();
    else
        for (auto& other : m_active)
            if (other.second.final)
                m_grace.start(kGrace);
}

void JobFollower::onGraceOver()
{
    if (!m_session.ready()) {
        m_grace.start(kGrace);
        return;
    }
    std::vector<std::uint64_t> over;
    for (const auto& [id, job] : m_active)
        if (job.final)
            over.push_back(id);
    for (const auto id : over) {
        if (m_withLogs)
            m_sink.onNotice(fmt::format(
                "the end of the log of job {} did not come; `penstock logs {}` may have more later", id, id));
        finish(id);
    }
}

} // namespace penstock::client
