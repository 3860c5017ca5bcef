// SPDX-License-Identifier: GPL-3.0-or-later
// JobWatch: follows one job for one connection: all steps first, in parts, then the changed ones, then the end. One
// question to the source is out at a time; what changes meanwhile is marked and asked for next, so a burst costs one
// question. With logs, every attempt that shows up is given to the LogReader. Lives on the feed's loop.
#pragma once

#include "server/feed/detail/log_reader.h"
#include "server/feed/detail/outlet.h"
#include "server/feed/detail/watch_index.h"
#include "server/feed/feed_source.h"
#include "shared/base/loop.h"

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>

namespace penstock::feed {

struct JobWatchEnvironment {
    Loop& loop;
    FeedSource& source;
    Outlet& outlet;
    LogReader& logs;
    WatchIndex<JobId>& jobs;
    WatchIndex<StepId>& steps;
};

class JobWatch {
public:
    JobWatch(JobWatchEnvironment environment, WatchKey key, JobId job, bool withLog);
    ~JobWatch();
    JobWatch(const JobWatch&) = delete;
    JobWatch& operator=(const JobWatch&) = delete;

    void start();
    // Marked; pump() asks for what is marked.
    void markJob() { m_jobDirty = true; }
    void markStep(StepId step) { m_dirty.insert(step); } // one of its own, so bounded by them
    // Some step of some job changed while the list of steps was not known yet.
    void onAnyStepChanged() { m_missed = m_missed || !m_listed; }
    void pump(); // something is marked, or there may be room again
    void onLogEnd(AttemptId attempt, const Error* error);
    void check(); // a log ended, or time went by: is it over?

private:
    void ask();
    void onList(Result<JobRecords> records);
    void onChange(const std::set<StepId>& asked, Result<JobRecords> records);
    void take(const JobRecords& records, bool complete);
    void sendPart(const JobRecords& records, std::size_t from, std::size_t to, bool complete);
    void followLogs(const JobRecords& records);
    void end(std::string_view error);
    [[nodiscard]] Duration pause() const;

    JobWatchEnvironment m_environment;
    WatchKey m_key;
    JobId m_job;
    bool m_withLog;
    bool m_listed = false;
    bool m_missed = false;
    bool m_over = false;     // the end was sent; the owner takes this away at its next turn
    bool m_asking = false;
    bool m_paused = false;   // a timer will ask
    bool m_jobDirty = false;
    std::set<StepId> m_dirty;
    std::set<StepId> m_steps;
    std::set<StepId> m_open;        // not finished when last heard of
    std::set<AttemptId> m_followed;
    std::optional<Instant> m_finished;
    std::string m_logError; // of the first log that could not be read to its end
    std::shared_ptr<bool> m_alive = std::make_shared<bool>(true);
};

} // namespace penstock::feed
