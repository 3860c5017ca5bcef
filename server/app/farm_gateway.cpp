// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/farm_gateway.h"

#include "server/app/detail/gateway_asking.h"
#include "server/app/farm_records.h"
#include "server/app/hydra_metrics.h"
#include "server/app/http_views.h"

#include <algorithm>
#include <fmt/format.h>
#include <utility>
#include <variant>

namespace penstock::app {
namespace {

constexpr std::uint32_t kMaxExplained = 1'000;

core::JobRequest toRequest(jobs::ParsedJob&& job)
{
    core::JobRequest request{std::move(job.spec), {}, job.claimsRootsOnly ? core::Claims::Roots : core::Claims::All,
                             job.bumped};
    request.steps.reserve(job.steps.size());
    for (jobs::ParsedStep& step : job.steps)
        request.steps.push_back({std::move(step.spec), std::move(step.dependsOn), step.root, step.cached,
                                 step.isReference});
    job.steps = {}; // many of them, and the core has what they were
    return request;
}

feed::LogSlice toSlice(logs::LogSlice&& slice)
{
    feed::LogSlice result{slice.offset, {}, slice.next, slice.size, slice.ended, false};
    std::uint64_t offset = slice.offset;
    for (protocol::LogRecord& record : slice.records) {
        const std::uint64_t size = record.data.size();
        result.pieces.push_back(
            {offset, record.time, static_cast<feed::LogStream>(record.stream), std::move(record.data)});
        offset += size;
    }
    return result;
}

} // namespace

FarmGateway::FarmGateway(GatewayParts parts, GatewayFacts facts)
    : m_parts(parts), m_facts(std::move(facts)), m_alive(std::make_shared<bool>(true))
{
}

FarmGateway::~FarmGateway()
{
    *m_alive = false;
}

void FarmGateway::replied(const core::Reply& reply)
{
    const auto found = m_waiting.find(reply.request);
    if (found == m_waiting.end())
        return;
    const Waiting waiting = std::move(found->second);
    m_waiting.erase(found);
    waiting(reply);
}

// ------------------------------------------------------------------------------------------------- requests

void FarmGateway::submit(std::vector<jobs::ParsedJob> jobs, http::Answer<std::vector<JobId>> answer)
{
    std::vector<core::JobRequest> requests;
    requests.reserve(jobs.size());
    for (jobs::ParsedJob& job : jobs)
        requests.push_back(toRequest(std::move(job)));
    request([&](RequestId id) { return core::SubmitJobs{id, std::move(requests)}; },
            [answer = std::move(answer)](const core::Reply& reply) {
                if (!reply.answer)
                    return answer(fail(reply.answer.error()));
                answer(std::get<core::Submitted>(*reply.answer).jobs);
            });
}

void FarmGateway::submitBuild(feed::BuildSubmission build, feed::Answer<feed::BuildReceipt> answer)
{
    m_parts.builds.prepare(std::move(build), [this, answer = std::move(answer)](Result<PreparedBuild> prepared) {
        if (!prepared)
            return answer(fail(std::move(prepared).error()));
        feed::BuildReceipt receipt{JobId(0), static_cast<std::uint32_t>(prepared->job.steps.size()), prepared->needless,
                                   std::move(prepared->note)};
        std::vector<jobs::ParsedJob> jobs;
        jobs.push_back(std::move(prepared->job));
        submit(std::move(jobs), [answer, receipt = std::move(receipt)](Result<std::vector<JobId>> ids) mutable {
            if (!ids || ids->empty())
                return answer(fail(ids ? Error{ErrorCode::Internal, "the job got no id"} : std::move(ids).error()));
            receipt.job = ids->front();
            answer(std::move(receipt));
        });
    });
}

namespace {

// A reply without a value.
auto doneTo(http::Answer<void> answer)
{
    return [answer = std::move(answer)](const core::Reply& reply) {
        if (!reply.answer)
            return answer(fail(reply.answer.error()));
        answer({});
    };
}

} // namespace

FarmGateway::Waiting FarmGateway::doneToJob(JobId job, http::Answer<void> answer)
{
    return [this, job, answer = std::move(answer)](const core::Reply& reply) {
        if (reply.answer)
            return answer({});
        if (reply.answer.error().code != ErrorCode::NotFound)
            return answer(fail(reply.answer.error()));
        // Not open: either it is finished, or there is no such job.
        findJob(job, [job, answer](Result<store::JobView> view) {
            if (!view)
                return answer(fail(std::move(view).error()));
            const work::JobState state = view->row.progress.state;
            if (!work::isFinished(state))
                return answer(fail(ErrorCode::Unavailable,
                                   fmt::format("job {} is only just being taken in or is ending; try again",
                                               job.value())));
            answer(fail(ErrorCode::Conflict,
                        fmt::format("job {} is finished already: {}", job.value(), work::toString(state))));
        });
    };
}

void FarmGateway::cancel(JobId job, std::string who, http::Answer<void> answer)
{
    request([&](RequestId id) { return core::CancelJob{id, job, std::move(who)}; }, doneToJob(job, std::move(answer)));
}

void FarmGateway::retry(JobId job, std::string /*who*/, http::Answer<void> answer)
{
    ask<bool>([job](const core::FarmCore& farm, Now) -> Result<bool> { return isOpen(farm, job); },
              [this, job, answer = std::move(answer)](Result<bool> open) {
                  if (!open)
                      return answer(fail(std::move(open).error()));
                  if (*open)
                      return answer(fail(ErrorCode::Conflict,
                                         fmt::format("job {} is not finished; cancel it first", job.value())));
                  reopen(job, answer);
              });
}

void FarmGateway::reopen(JobId job, http::Answer<void> answer)
{
    m_parts.store.loadJob(job, bringHome<work::StoredJob>([this, answer = std::move(answer)](
                                                              Result<work::StoredJob> stored) {
        if (!stored)
            return answer(fail(std::move(stored).error()));
        request([&](RequestId id) { return core::ReopenJob{id, std::move(*stored)}; }, doneTo(answer));
    }));
}

// -------------------------------------------------------------------------------------------- from the store

void FarmGateway::findJobs(store::JobFilter filter, http::Answer<std::vector<store::JobView>> answer)
{
    m_parts.store.findJobs(std::move(filter), bringHome<std::vector<store::JobView>>(std::move(answer)));
}

void FarmGateway::findJob(JobId job, http::Answer<store::JobView> answer)
{
    m_parts.store.findJob(job, bringHome<store::JobView>(std::move(answer)));
}

void FarmGateway::findSteps(store::StepFilter filter, http::Answer<std::vector<store::StepView>> answer)
{
    m_parts.store.findSteps(std::move(filter), bringHome<std::vector<store::StepView>>(std::move(answer)));
}

void FarmGateway::findAttempts(store::AttemptFilter filter, http::Answer<std::vector<store::AttemptView>> answer)
{
    m_parts.store.findAttempts(std::move(filter), bringHome<std::vector<store::AttemptView>>(std::move(answer)));
}

void FarmGateway::addToken(store::TokenRow token, http::Answer<void> answer)
{
    m_parts.store.addToken(std::move(token), bringHome<void>(std::move(answer)));
}

void FarmGateway::findToken(std::string id, auth::Answer<store::TokenRow> answer)
{
    m_parts.store.findToken(std::move(id), bringHome<store::TokenRow>(std::move(answer)));
}

void FarmGateway::listTokens(http::Answer<std::vector<store::TokenRow>> answer)
{
    m_parts.store.listTokens(bringHome<std::vector<store::TokenRow>>(std::move(answer)));
}

void FarmGateway::revokeToken(std::string id, http::Answer<void> answer)
{
    m_parts.store.revokeToken(id, bringHome<void>([this, id, answer = std::move(answer)](Result<void> revoked) {
        if (revoked && m_revoked)
            m_revoked(id);
        answer(std::move(revoked));
    }));
}

// --------------------------------------------------------------------------------------------------- the logs

void FarmGateway::readLog(AttemptId attempt, std::uint64_t offset, std::uint32_t limit,
                          http::Answer<feed::LogSlice> answer)
{
    m_parts.logs.read(
        attempt, offset, limit,
        bringHome<logs::LogSlice>([this, attempt, answer = std::move(answer)](Result<logs::LogSlice> slice) {
            if (slice)
                return answer(toSlice(std::move(*slice)));
            if (slice.error().code != ErrorCode::NotFound)
                return answer(fail(std::move(slice).error()));
            // Nothing was written: an attempt that says nothing, or one that never was.
            findAttempts({.job = {}, .step = {}, .attempt = attempt, .after = {}, .limit = 1},
                         [attempt, answer](Result<std::vector<store::AttemptView>> found) {
                             if (!found)
                                 return answer(fail(std::move(found).error()));
                             if (found->empty())
                                 return answer(
                                     fail(ErrorCode::NotFound, fmt::format("no run {}", attempt.value())));
                             feed::LogSlice empty;
                             const work::AttemptProgress& progress = found->front().row.progress;
                             empty.ended =
                                 progress.state == work::AttemptState::Ended && progress.logBytes == 0;
                             answer(std::move(empty));
                         });
        }));
}

// --------------------------------------------------------------------------------------------------- the core

void FarmGateway::explain(JobId job, http::Answer<http::JobExplanation> answer)
{
    ask<http::JobExplanation>(
        [job](const core::FarmCore& farm, Now now) { return explanationOf(farm, job, kMaxExplained, now); },
        [this, job, answer = std::move(answer)](Result<http::JobExplanation> explained) {
            if (explained || explained.error().code != ErrorCode::NotFound)
                return answer(std::move(explained));
            findJob(job, [this, job, answer](Result<store::JobView> view) {
                if (!view)
                    return answer(fail(std::move(view).error()));
                http::JobExplanation over;
                over.job = job;
                over.state = view->row.progress.state;
                over.evaluated = m_parts.clock.now().wall;
                over.ended = view->row.progress;
                answer(std::move(over));
            });
        });
}

void FarmGateway::status(http::Answer<http::StatusView> answer)
{
    ask<http::StatusView>(
        [](const core::FarmCore& farm, Now) -> Result<http::StatusView> {
            http::StatusView view;
            view.totals = totalsOf(farm);
            core::Totals totals = farm.totals();
            view.machinesQuarantined = totals.machinesQuarantined;
            view.waiting = std::move(totals.waiting);
            view.pause = std::move(totals.pause);
            return view;
        },
        [this, answer = std::move(answer)](Result<http::StatusView> view) {
            if (!view)
                return answer(std::move(view));
            view->version = m_facts.version;
            view->serverName = m_facts.serverName;
            view->databaseEmbedded = m_facts.databaseEmbedded;
            view->uptime = m_parts.clock.now().mono - m_facts.started;
            view->listen = m_facts.listen;
            view->auth = m_facts.auth;
            view->outputs = m_outputs;
            if (const Result<void> health = m_parts.store.health(); !health)
                view->problems.push_back(fmt::format("the database cannot be used: {}", health.error().message));
            if (view->totals.machinesConnected == 0)
                view->problems.emplace_back("no builder is connected; start one with: penstock-builder --server URL");
            answer(std::move(view));
        });
}

void FarmGateway::metrics(http::Answer<std::vector<http::MetricFamily>> answer)
{
    ask<std::vector<http::MetricFamily>>(
        [&dispatcher = m_parts.dispatcher, started = m_facts.started,
         hydra = m_hydraCounters ? m_hydraCounters() : std::nullopt](
            const core::FarmCore& farm, Now now) -> Result<std::vector<http::MetricFamily>> {
            std::vector<http::MetricFamily> families = farmMetrics(farm, now);
            appendDispatchMetrics(dispatcher, families);
            appendHydraMetrics(farm, dispatcher.counters(), now, hydra, families);
            appendHydraTurns(dispatcher.counters(), now.mono - started, families);
            return families;
        },
        [this, answer = std::move(answer)](Result<std::vector<http::MetricFamily>> families) {
            if (families)
                for (const MetricSource& source : m_metricSources)
                    source(*families);
            answer(std::move(families));
        });
}

Result<void> FarmGateway::ready() const
{
    return m_parts.store.health();
}

void FarmGateway::farm(feed::FarmRequest request, feed::Answer<feed::FarmRecords> answer)
{
    ask<feed::FarmRecords>([request = std::move(request)](
                               const core::FarmCore& farm,
                               Now now) -> Result<feed::FarmRecords> { return farmRecords(farm, request, now); },
                           std::move(answer));
}

void FarmGateway::job(JobId job, feed::Answer<feed::JobRecords> answer)
{
    ask<feed::JobRecords>([job](const core::FarmCore& farm, Now) { return jobRecords(farm, job, nullptr); },
                          [this, job, answer = std::move(answer)](Result<feed::JobRecords> records) {
                              if (records || records.error().code != ErrorCode::NotFound)
                                  return answer(std::move(records));
                              storedJob(job, answer);
                          });
}

void FarmGateway::jobSteps(JobId job, std::vector<StepId> steps, feed::Answer<feed::JobRecords> answer)
{
    ask<feed::JobRecords>(
        [job, steps = std::move(steps)](const core::FarmCore& farm, Now) { return jobRecords(farm, job, &steps); },
        [this, job, answer = std::move(answer)](Result<feed::JobRecords> records) {
            if (records || records.error().code != ErrorCode::NotFound)
                return answer(std::move(records));
            storedJob(job, answer);
        });
}

void FarmGateway::storedJob(JobId job, feed::Answer<feed::JobRecords> answer)
{
    findJob(job, [this, job, answer = std::move(answer)](Result<store::JobView> view) {
        if (!view)
            return answer(fail(std::move(view).error()));
        // A page is enough for display; more steps than a page are had through HTTP.
        findSteps({.job = job, .step = {}, .state = {}, .before = {}, .limit = 1'000},
                  [view = std::move(*view), answer](Result<std::vector<store::StepView>> steps) {
                      if (!steps)
                          return answer(fail(std::move(steps).error()));
                      feed::JobRecords records{toEntry(view), {}};
                      for (const store::StepView& step : *steps)
                          records.steps.push_back(toEntry(step));
                      std::reverse(records.steps.begin(), records.steps.end());
                      answer(std::move(records));
                  });
    });
}

} // namespace penstock::app
