// SPDX-License-Identifier: GPL-3.0-or-later
// FeedSource: what the feed asks of the rest of the server. Called on the feed's loop; every answer is given on that
// loop too, exactly once, now or later. The feed keeps at most one farm question, one question per watch and one
// explanation per connection open.
#pragma once

#include "server/feed/explanation.h"
#include "server/feed/records.h"
#include "server/jobs/build_spec.h"
#include "shared/base/result.h"

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace penstock::feed {

template <class T> using Answer = std::function<void(Result<T>)>;

inline constexpr std::size_t kShownOpenJobs = 1'000;
inline constexpr std::size_t kShownFinishedJobs = 200;
inline constexpr std::size_t kShownShares = 1'000;
inline constexpr std::size_t kShownReasons = 64;

struct FarmRequest {
    bool allMachines = false;         // else only those named
    std::vector<MachineId> machines;
    bool newestJobs = false;          // the newest kShownOpenJobs open and kShownFinishedJobs finished ones
    std::vector<JobId> jobs;          // besides; unknown ones are left out of the answer
    bool shares = false;              // all share groups
};

struct FarmRecords {
    FarmTotals totals;
    std::vector<QueueEntry> queues;     // all of them, always; at most 1,000
    std::vector<MachineEntry> machines; // asked for and existing
    std::vector<JobEntry> jobs;
    std::vector<ShareEntry> shares = {}; // asked for: all of them, at most kShownShares, those with most work
};

struct JobRecords {
    JobEntry job;
    std::vector<StepEntry> steps;
};

// All that was sent for a build, checked one by one but not put together yet.
struct BuildSubmission {
    jobs::BuildAssembler assembler;
    std::vector<std::string> roots; // derivation paths
    std::string json;               // see jobs::parseJobFrame
    jobs::Submitter submitter;
};
struct BuildReceipt {
    JobId job{0};
    std::uint32_t steps = 0;    // of the job
    std::uint32_t needless = 0; // derivations whose build is not needed, as outputs are there already
    std::string note = {};      // what people should know of that
};

struct FeedSource {
    virtual ~FeedSource() = default;

    virtual void farm(FarmRequest request, Answer<FarmRecords> answer) = 0;
    // The job, open or finished, with all its steps. NotFound: "no job 42".
    virtual void job(JobId job, Answer<JobRecords> answer) = 0;
    // The job's record and those of its steps that are named.
    virtual void jobSteps(JobId job, std::vector<StepId> steps, Answer<JobRecords> answer) = 0;
    // Up to limit data bytes from the offset; an offset at the end gives no pieces. NotFound: "no run 42".
    virtual void readLog(AttemptId attempt, std::uint64_t offset, std::uint32_t limit, Answer<LogSlice> answer) = 0;
    // Finished and unknown to the core: no steps. NotFound: "no job 42".
    virtual void explain(ExplainQuestion question, Answer<JobReasons> answer) = 0;
    // Puts the derivations together, leaves out what is built already, and submits the rest. Answered when all is
    // durable.
    virtual void submitBuild(BuildSubmission build, Answer<BuildReceipt> answer) = 0;
};

} // namespace penstock::feed
