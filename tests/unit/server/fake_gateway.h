// SPDX-License-Identifier: GPL-3.0-or-later
// FakeGateway: a small farm in memory behind HTTP's Gateway. It answers at once, or keeps what it was asked until
// release(), for tests of what happens in between. Test code; one thread.
#pragma once

#include "server/auth/authenticator.h"
#include "server/http/gateway.h"
#include "shared/base/log.h"

#include <deque>
#include <map>

namespace penstock::test {

class FakeGateway final : public http::Gateway {
public:
    std::vector<jobs::ParsedJob> submitted;
    std::map<std::uint64_t, std::string> logs; // attempt → bytes
    std::vector<store::TokenRow> tokens;
    std::vector<http::MachineView> farm;
    std::vector<http::ShareView> groups;
    std::vector<http::NamespaceView> spaces;
    work::DispatchPause dispatch;
    http::JobExplanation explanation; // of whichever job is asked for
    std::vector<std::string> calls;
    bool keeps = false; // until release()
    bool isReady = true;

    void release();

    void submit(std::vector<jobs::ParsedJob> jobs, http::Answer<std::vector<JobId>> answer) override;
    void cancel(JobId job, std::string who, http::Answer<void> answer) override;
    void retry(JobId job, std::string who, http::Answer<void> answer) override;
    void explain(JobId job, http::Answer<http::JobExplanation> answer) override;
    void findJobs(store::JobFilter filter, http::Answer<std::vector<store::JobView>> answer) override;
    void findJob(JobId job, http::Answer<store::JobView> answer) override;
    void findSteps(store::StepFilter filter, http::Answer<std::vector<store::StepView>> answer) override;
    void findAttempts(store::AttemptFilter filter, http::Answer<std::vector<store::AttemptView>> answer) override;
    void readLog(AttemptId attempt, std::uint64_t offset, std::uint32_t limit,
                 http::Answer<feed::LogSlice> answer) override;
    void bump(JobId job, bool bump, http::Answer<void> answer) override;
    void hold(JobId job, bool hold, std::string note, http::Answer<void> answer) override;
    void machines(http::Answer<std::vector<http::MachineView>> answer) override;
    void machine(std::string nameOrId, http::Answer<http::MachineView> answer) override;
    void drain(std::string nameOrId, bool drain, std::string note, http::Answer<http::MachineView> answer) override;
    void changeThresholds(std::string nameOrId, http::ThresholdChange change,
                          http::Answer<http::MachineView> answer) override;
    void trust(std::string nameOrId, http::Answer<http::MachineView> answer) override;
    void removeMachine(std::string nameOrId, http::Answer<void> answer) override;
    void queues(http::Answer<std::vector<http::QueueView>> answer) override;
    void shares(http::Answer<std::vector<http::ShareView>> answer) override;
    void setShares(work::ShareGroupRow group, http::Answer<http::ShareView> answer) override;
    void namespaces(http::Answer<std::vector<http::NamespaceView>> answer) override;
    void changeNamespace(http::NamespaceChange change, http::Answer<http::NamespaceView> answer) override;
    void pause(bool pause, std::string who, std::string note, http::Answer<work::DispatchPause> answer) override;
    void status(http::Answer<http::StatusView> answer) override;
    void metrics(http::Answer<std::vector<http::MetricFamily>> answer) override;
    [[nodiscard]] Result<void> ready() const override;
    void addToken(store::TokenRow token, http::Answer<void> answer) override;
    void listTokens(http::Answer<std::vector<store::TokenRow>> answer) override;
    void revokeToken(std::string id, http::Answer<void> answer) override;

private:
    [[nodiscard]] store::JobView viewOf(std::size_t index) const;
    void changed(JobId job, http::Answer<void> answer) const;
    void later(std::function<void()> task);

    std::deque<std::function<void()>> m_held;
};

struct NullLogger final : Logger {
    void log(LogLevel, std::string_view, std::initializer_list<LogField>) override {}
};

// Tokens by id; asked by the authenticator.
struct FakeTokens final : auth::TokenSource {
    std::map<std::string, store::TokenRow> rows;
    std::size_t asked = 0;
    bool reachable = true;
    void findToken(std::string id, auth::Answer<store::TokenRow> answer) override;
};

} // namespace penstock::test
