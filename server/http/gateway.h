// SPDX-License-Identifier: GPL-3.0-or-later
// Gateway: what HTTP asks of the rest of the server. Called on the HTTP loop; every answer is given on that loop too,
// exactly once, now or later, also when the asking connection is gone. Error codes become statuses: Invalid 422,
// NotFound 404, Denied 403, Conflict 409, Exhausted 429, Unavailable and Timeout 503, all others 500.
#pragma once

#include "server/feed/records.h"
#include "server/http/metric.h"
#include "server/http/views.h"
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

template <class T> using Answer = std::function<void(Result<T>)>; // as in hydra_gateway.h

struct Gateway {
    virtual ~Gateway() = default;

    virtual void submit(std::vector<jobs::ParsedJob> jobs, Answer<std::vector<JobId>> answer) = 0;
    virtual void cancel(JobId job, std::string who, Answer<void> answer) = 0; // Conflict: finished already
    virtual void retry(JobId job, std::string who, Answer<void> answer) = 0;  // Conflict: still open
    // Before everything that is not bumped, or back to its place. Conflict: finished already.
    virtual void bump(JobId job, bool bump, Answer<void> answer) = 0;
    // None of its steps starts until it is released. Conflict: finished already.
    virtual void hold(JobId job, bool hold, std::string note, Answer<void> answer) = 0;
    virtual void explain(JobId job, Answer<JobExplanation> answer) = 0;

    virtual void findJobs(store::JobFilter filter, Answer<std::vector<store::JobView>> answer) = 0;
    virtual void findJob(JobId job, Answer<store::JobView> answer) = 0;
    virtual void findSteps(store::StepFilter filter, Answer<std::vector<store::StepView>> answer) = 0;
    virtual void findAttempts(store::AttemptFilter filter, Answer<std::vector<store::AttemptView>> answer) = 0;
    virtual void readLog(AttemptId attempt, std::uint64_t offset, std::uint32_t limit,
                         Answer<feed::LogSlice> answer) = 0;

    virtual void machines(Answer<std::vector<MachineView>> answer) = 0;
    virtual void machine(std::string nameOrId, Answer<MachineView> answer) = 0;
    virtual void drain(std::string nameOrId, bool drain, std::string note, Answer<MachineView> answer) = 0;
    virtual void changeThresholds(std::string nameOrId, ThresholdChange change, Answer<MachineView> answer) = 0;
    virtual void trust(std::string nameOrId, Answer<MachineView> answer) = 0;
    virtual void removeMachine(std::string nameOrId, Answer<void> answer) = 0; // Conflict: not away

    virtual void queues(Answer<std::vector<QueueView>> answer) = 0;
    virtual void shares(Answer<std::vector<ShareView>> answer) = 0;
    virtual void setShares(work::ShareGroupRow group, Answer<ShareView> answer) = 0;
    virtual void namespaces(Answer<std::vector<NamespaceView>> answer) = 0;
    virtual void changeNamespace(NamespaceChange change, Answer<NamespaceView> answer) = 0;
    // Nothing new starts on the farm, or again.
    virtual void pause(bool pause, std::string who, std::string note, Answer<work::DispatchPause> answer) = 0;

    virtual void status(Answer<StatusView> answer) = 0;
    virtual void metrics(Answer<std::vector<MetricFamily>> answer) = 0; // of every module but http itself
    [[nodiscard]] virtual Result<void> ready() const = 0;               // Unavailable, with the reason

    virtual void addToken(store::TokenRow token, Answer<void> answer) = 0;
    virtual void listTokens(Answer<std::vector<store::TokenRow>> answer) = 0;
    virtual void revokeToken(std::string id, Answer<void> answer) = 0; // and forgets it in auth's cache
};

} // namespace penstock::http
