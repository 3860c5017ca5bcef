// SPDX-License-Identifier: GPL-3.0-or-later
// BuildIntake: from the derivations that a client sent to the job that the core is asked to take in: put together,
// and without what is built already. That may be hundreds of thousands of steps and a store far away, so it happens on
// threads of its own; prepare() is called and answered on the home loop. Builds that are taken in at once are bounded;
// beyond that they are refused as Unavailable.
#pragma once

#include "server/cache/output_store.h"
#include "server/feed/feed_source.h"
#include "server/jobs/parsed_job.h"
#include "server/transfer/worker_pool.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/loop.h"

#include <cstdint>
#include <memory>
#include <string>

namespace penstock::app {

struct PreparedBuild {
    jobs::ParsedJob job;
    std::uint32_t needless = 0; // derivations that need not be built
    std::string note = {};      // when it could not be told of all
};

class BuildIntake {
public:
    // store: whose presence counts; null: nothing is looked up. All outlive the intake.
    BuildIntake(Loop& home, const Clock& clock, Logger& logger, cache::OutputStore* store);
    ~BuildIntake();
    BuildIntake(const BuildIntake&) = delete;
    BuildIntake& operator=(const BuildIntake&) = delete;

    void prepare(feed::BuildSubmission build, feed::Answer<PreparedBuild> answer);

private:
    [[nodiscard]] Result<PreparedBuild> prepareNow(feed::BuildSubmission build) const;

    Loop& m_home;
    const Clock& m_clock;
    Logger& m_logger;
    cache::OutputStore* m_store;
    std::shared_ptr<bool> m_alive;
    transfer::WorkerPool m_workers; // last: its threads use all of the above
};

// Leaves out of the job what the store has. What it cannot tell, or not in that time, counts as not there, and the note
// says so. Blocking.
[[nodiscard]] PreparedBuild withoutPresent(jobs::ParsedJob job, cache::OutputStore& store, const Clock& clock,
                                           Duration most);

} // namespace penstock::app
