// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/feed/detail/job_watch.h"

#include "server/feed/detail/wire.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace penstock::feed {
namespace {

constexpr std::size_t kStepsPerPart = 1'000;
constexpr std::size_t kPartBytes = 1U << 20U;
constexpr std::size_t kStepsPerQuestion = 2'000;
constexpr std::size_t kSmallJob = 10;
constexpr std::chrono::milliseconds kPauseOfLargeJob{50};
// When a job is over, its logs are all here or on their way. If one never ends, the watch must.
constexpr std::chrono::seconds kLogPatience{20};

std::size_t sizeOf(const StepEntry& step)
{
    std::size_t bytes =
        200 + step.name.size() + step.drvPath.size() + step.error.size() + 10 * step.dependsOn.size();
    for (const auto& output : step.outputs)
        bytes += output.name.size() + output.path.size() + 8;
    return bytes;
}

} // namespace

JobWatch::JobWatch(JobWatchEnvironment environment, WatchKey key, JobId job, bool withLog)
    : m_environment(environment), m_key(key), m_job(job), m_withLog(withLog)
{
    m_environment.jobs.add(m_job, m_key);
}

JobWatch::~JobWatch()
{
    m_environment.jobs.remove(m_job, m_key);
    for (const auto step : m_steps)
        m_environment.steps.remove(step, m_key);
    m_environment.logs.removeWatch(m_key.watch);
}

void JobWatch::start()
{
    m_asking = true;
    m_environment.source.job(m_job, [this, alive = std::weak_ptr(m_alive)](Result<JobRecords> records) {
        if (alive.lock())
            onList(std::move(records));
    });
}

Duration JobWatch::pause() const
{
    return m_steps.size() <= kSmallJob ? Duration(0) : Duration(kPauseOfLargeJob);
}

void JobWatch::pump()
{
    if (m_over || !m_listed || m_asking || m_paused || (!m_jobDirty && m_dirty.empty()) ||
        !m_environment.outlet.hasRoom())
        return;
    if (pause() == Duration(0))
        return ask();
    m_paused = true;
    m_environment.loop.postAt(m_environment.outlet.now().mono + pause(),
                              [this, alive = std::weak_ptr(m_alive)] {
                                  if (!alive.lock())
                                      return;
                                  m_paused = false;
                                  ask();
                              });
}

void JobWatch::ask()
{
    std::set<StepId> asked;
    while (!m_dirty.empty() && asked.size() < kStepsPerQuestion)
        asked.insert(m_dirty.extract(m_dirty.begin()));
    m_jobDirty = false;
    m_asking = true;
    std::vector<StepId> steps(asked.begin(), asked.end());
    m_environment.source.jobSteps(
        m_job, std::move(steps),
        [this, alive = std::weak_ptr(m_alive), asked = std::move(asked)](Result<JobRecords> records) {
            if (alive.lock())
                onChange(asked, std::move(records));
        });
}

void JobWatch::onList(Result<JobRecords> records)
{
    if (!records)
        return end(records.error().message);
    for (const auto& step : records->steps) {
        m_steps.insert(step.id);
        m_environment.steps.add(step.id, m_key);
    }
    m_listed = true;
    take(*records, true);
    m_asking = false; // only now: a log that ends at once must not end the watch half-way through the list
    if (m_missed) {
        m_dirty.insert(m_open.begin(), m_open.end());
        m_jobDirty = true;
    }
    pump();
    check();
}

void JobWatch::onChange(const std::set<StepId>& asked, Result<JobRecords> records)
{
    if (!records && records.error().code == ErrorCode::NotFound)
        return end(records.error().message);
    if (records)
        take(*records, false);
    m_asking = false;
    if (!records) {
        // Cannot be read now. The next change, or the next look, asks again.
        m_dirty.insert(asked.begin(), asked.end());
        m_jobDirty = true;
        m_paused = true;
        m_environment.loop.postAt(m_environment.outlet.now().mono + std::chrono::seconds(1),
                                  [this, alive = std::weak_ptr(m_alive)] {
                                      if (!alive.lock())
                                          return;
                                      m_paused = false;
                                      pump();
                                  });
        return;
    }
    pump();
    check();
}

void JobWatch::take(const JobRecords& records, bool complete)
{
    for (const auto& step : records.steps) {
        if (step.state == work::StepState::Finished)
            m_open.erase(step.id);
        else
            m_open.insert(step.id);
    }
    if (work::isFinished(records.job.state)) {
        if (!m_finished)
            m_finished = m_environment.outlet.now().mono;
    } else {
        m_finished.reset(); // opened again
    }
    std::size_t from = 0;
    do {
        std::size_t to = from;
        for (std::size_t bytes = 0;
             to < records.steps.size() && to - from < kStepsPerPart && bytes < kPartBytes; ++to)
            bytes += sizeOf(records.steps[to]);
        sendPart(records, from, to, complete && to == records.steps.size());
        from = to;
    } while (from < records.steps.size());
    if (m_withLog)
        followLogs(records);
}

void JobWatch::sendPart(const JobRecords& records, std::size_t from, std::size_t to, bool complete)
{
    monitor::FeedMessage message;
    auto& update = *message.mutable_job();
    update.set_watch(m_key.watch);
    wire::write(*update.mutable_job(), records.job);
    for (std::size_t at = from; at < to; ++at)
        wire::write(*update.add_steps(), records.steps[at]);
    update.set_complete(complete);
    m_environment.outlet.send(message);
}

void JobWatch::followLogs(const JobRecords& records)
{
    for (const auto& step : records.steps) {
        // What was valid already has not run, and an attempt that is not running yet has written nothing.
        const bool hasLog = step.newestAttempt && step.result != work::StepResult::Cached;
        if (!m_over && hasLog && m_followed.insert(*step.newestAttempt).second)
            m_environment.logs.add({m_key.watch, *step.newestAttempt, step.id, 0, true});
    }
}

void JobWatch::onLogEnd(AttemptId attempt, const Error* error)
{
    if (error != nullptr && m_logError.empty())
        m_logError = fmt::format("the log of run {} cannot be read: {}", attempt.value(), error->message);
    check();
}

void JobWatch::check()
{
    if (m_over || !m_listed || !m_finished || m_asking || m_paused || m_jobDirty || !m_dirty.empty())
        return;
    const auto logs = m_environment.logs.countOf(m_key.watch);
    if (logs == 0)
        return end(m_logError);
    const auto since = std::max(*m_finished, m_environment.logs.lastProgress());
    if (m_environment.logs.isWaiting() && m_environment.outlet.now().mono - since > kLogPatience)
        end(fmt::format("job {} is over, but {} of its logs did not come to their end", m_job.value(), logs));
}

void JobWatch::end(std::string_view error)
{
    m_over = true;
    m_alive.reset(); // answers on their way are of no more use
    m_environment.outlet.endWatch(m_key.watch, error);
}

} // namespace penstock::feed
