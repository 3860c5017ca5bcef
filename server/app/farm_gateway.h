// SPDX-License-Identifier: GPL-3.0-or-later
// FarmGateway: answers what HTTP, the feed and the authenticator ask, by asking the core, the store and the logs on
// their threads and bringing the answers home. Lives on the net loop; every method of its interfaces is called
// there and answers there. Questions that wait for the core are bounded; beyond that they are refused as Exhausted.
#pragma once

#include "server/app/build_intake.h"
#include "server/auth/authenticator.h"
#include "server/dispatch/dispatcher.h"
#include "server/feed/feed_source.h"
#include "server/http/gateway.h"
#include "server/http/hydra_gateway.h"
#include "server/logs/log_store.h"
#include "server/store/store.h"
#include "shared/base/loop.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace penstock::app {

struct GatewayFacts { // fixed after start-up
    std::string version;
    std::string serverName;
    std::vector<std::string> listen;
    std::string auth;
    bool databaseEmbedded = true;
    Instant started;
};

struct GatewayParts { // all outlive the gateway
    Loop& loop;       // the net loop
    const Clock& clock;
    dispatch::Dispatcher& dispatcher;
    store::Store& store;
    logs::LogStore& logs;
    BuildIntake& builds;
};

class FarmGateway final : public http::Gateway, public feed::FeedSource, public auth::TokenSource {
public:
    using MetricSource = std::function<void(std::vector<http::MetricFamily>&)>;

    FarmGateway(GatewayParts parts, GatewayFacts facts);
    ~FarmGateway() override;

    // From the dispatcher's sinks, on the net loop.
    void replied(const core::Reply& reply);
    // Adds metrics of a module that lives on the net loop.
    void addMetrics(MetricSource source) { m_metricSources.push_back(std::move(source)); }
    // What Hydra's intake has counted, for metrics; called on the net loop.
    void setHydraCounters(std::function<std::optional<http::HydraCounters>()> counters)
    {
        m_hydraCounters = std::move(counters);
    }
    void setOutputs(http::OutputsView outputs) { m_outputs = std::move(outputs); }
    void setListen(std::vector<std::string> addresses) { m_facts.listen = std::move(addresses); }
    // Called with a token's id when it was revoked.
    void onRevoked(std::function<void(const std::string&)> revoked) { m_revoked = std::move(revoked); }

    // An event of one of the server's own sources, which are bounded by what they have in hand: answered like all
    // others, and never refused because many wait.
    void order(const std::function<core::Event(RequestId)>& make, http::Answer<void> answer);

    void submit(std::vector<jobs::ParsedJob> jobs, http::Answer<std::vector<JobId>> answer) override;
    void cancel(JobId job, std::string who, http::Answer<void> answer) override;
    void retry(JobId job, std::string who, http::Answer<void> answer) override;
    void bump(JobId job, bool bump, http::Answer<void> answer) override;
    void hold(JobId job, bool hold, std::string note, http::Answer<void> answer) override;
    void explain(JobId job, http::Answer<http::JobExplanation> answer) override;
    void findJobs(store::JobFilter filter, http::Answer<std::vector<store::JobView>> answer) override;
    void findJob(JobId job, http::Answer<store::JobView> answer) override;
    void findSteps(store::StepFilter filter, http::Answer<std::vector<store::StepView>> answer) override;
    void findAttempts(store::AttemptFilter filter, http::Answer<std::vector<store::AttemptView>> answer) override;
    void readLog(AttemptId attempt, std::uint64_t offset, std::uint32_t limit,
                 http::Answer<feed::LogSlice> answer) override;
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

    void farm(feed::FarmRequest request, feed::Answer<feed::FarmRecords> answer) override;
    void job(JobId job, feed::Answer<feed::JobRecords> answer) override;
    void jobSteps(JobId job, std::vector<StepId> steps, feed::Answer<feed::JobRecords> answer) override;
    void explain(feed::ExplainQuestion question, feed::Answer<feed::JobReasons> answer) override; // farm_explain.cpp
    void submitBuild(feed::BuildSubmission build, feed::Answer<feed::BuildReceipt> answer) override;

    void findToken(std::string id, auth::Answer<store::TokenRow> answer) override;

private:
    using Waiting = std::function<void(const core::Reply&)>;
    template <class T> http::Answer<T> bringHome(http::Answer<T> answer);
    // Runs the question on the core loop and brings its value home.
    template <class T> void ask(std::function<Result<T>(const core::FarmCore&, Now)> question, http::Answer<T> answer);
    // Hands an event that will be replied to. False (and answered) when too many wait.
    template <class Make> void request(Make make, Waiting waiting);
    // Answers what was done to an open job; one that the core does not know is finished or was never there.
    [[nodiscard]] Waiting doneToJob(JobId job, http::Answer<void> answer);
    // Answers with the machine as it stands after the change.
    [[nodiscard]] Waiting doneToMachine(std::string nameOrId, http::Answer<http::MachineView> answer);
    void storedJob(JobId job, feed::Answer<feed::JobRecords> answer);
    void reopen(JobId job, http::Answer<void> answer);

    GatewayParts m_parts;
    GatewayFacts m_facts;
    http::OutputsView m_outputs;
    std::uint64_t m_nextRequest = 1;
    std::map<RequestId, Waiting> m_waiting;
    std::vector<MetricSource> m_metricSources;
    std::function<std::optional<http::HydraCounters>()> m_hydraCounters;
    std::function<void(const std::string&)> m_revoked;
    // Answers that come from other threads after our end look here first.
    std::shared_ptr<bool> m_alive;
};

} // namespace penstock::app
