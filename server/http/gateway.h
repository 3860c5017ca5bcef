// SPDX-License-Identifier: GPL-3.0-or-later
// Gateway: what HTTP asks of the rest of the server. Called on the HTTP loop; every answer is given on that loop too,
// exactly once, now or later, also when the asking connection is gone. Error codes become statuses: Invalid 422,
// NotFound 404, Denied 403, Conflict 409, Exhausted 429, Unavailable and Timeout 503, all others 500.
#pragma once

#include "server/feed/records.h"
#include "server/http/metric.h"
#include "server/jobs/parsed_job.h"
#include "server/store/store.h"
#include "shared/base/result.h"

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace penstock::http {

template <class T> using Answer = std::function<void(Result<T>)>;

struct Reason {
    std::string code; // snake_case, stable: no_free_slot, missing_feature, …
    std::string text;
    std::map<std::string, double> numbers;
};
struct StepExplanation {
    StepId step{0};
    std::string name;
    work::StepState state = work::StepState::Blocked;
    std::vector<Reason> reasons;
    std::string change; // what would start it; may be empty
};
struct JobExplanation {
    JobId job{0};
    work::JobState state = work::JobState::Queued;
    std::vector<StepExplanation> steps; // unfinished ones, at most 1,000
};

struct StatusView {
    std::string version;
    std::string serverName;
    std::vector<std::string> problems; // none: healthy
    bool databaseEmbedded = true;
    Duration uptime{0};
    std::vector<std::string> listen;
    std::string auth; // local, tokens
    feed::FarmTotals totals;
};

struct Gateway {
    virtual ~Gateway() = default;

    virtual void submit(std::vector<jobs::ParsedJob> jobs, Answer<std::vector<JobId>> answer) = 0;
    virtual void cancel(JobId job, std::string who, Answer<void> answer) = 0; // Conflict: finished already
    virtual void retry(JobId job, std::string who, Answer<void> answer) = 0;  // Conflict: still open
    virtual void explain(JobId job, Answer<JobExplanation> answer) = 0;

    virtual void findJobs(store::JobFilter filter, Answer<std::vector<store::JobView>> answer) = 0;
    virtual void findJob(JobId job, Answer<store::JobView> answer) = 0;
    virtual void findSteps(store::StepFilter filter, Answer<std::vector<store::StepView>> answer) = 0;
    virtual void findAttempts(store::AttemptFilter filter, Answer<std::vector<store::AttemptView>> answer) = 0;
    virtual void readLog(AttemptId attempt, std::uint64_t offset, std::uint32_t limit,
                         Answer<feed::LogSlice> answer) = 0;

    virtual void machines(Answer<std::vector<feed::MachineEntry>> answer) = 0;
    virtual void machine(std::string nameOrId, Answer<feed::MachineEntry> answer) = 0;
    virtual void drain(std::string nameOrId, bool drain, std::string note, Answer<feed::MachineEntry> answer) = 0;

    virtual void status(Answer<StatusView> answer) = 0;
    virtual void metrics(Answer<std::vector<MetricFamily>> answer) = 0; // of every module but http itself
    [[nodiscard]] virtual Result<void> ready() const = 0;               // Unavailable, with the reason

    virtual void addToken(store::TokenRow token, Answer<void> answer) = 0;
    virtual void listTokens(Answer<std::vector<store::TokenRow>> answer) = 0;
    virtual void revokeToken(std::string id, Answer<void> answer) = 0; // and forgets it in auth's cache
};

} // namespace penstock::http
