// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/unit/server/fake_gateway.h"

#include <fmt/format.h>

#include <algorithm>

namespace penstock::test {

void FakeGateway::later(std::function<void()> task)
{
    if (keeps)
        m_held.push_back(std::move(task));
    else
        task();
}

void FakeGateway::release()
{
    auto held = std::exchange(m_held, {});
    for (auto& task : held)
        task();
}

store::JobView FakeGateway::viewOf(std::size_t index) const
{
    store::JobView view{
        {JobId(index + 1), submitted[index].spec, WallTime::fromMicros(1'700'000'000'000'000), {}, 1},
        0,
        0,
        0};
    return view;
}

void FakeGateway::submit(std::vector<jobs::ParsedJob> jobs, http::Answer<std::vector<JobId>> answer)
{
    later([this, jobs = std::move(jobs), answer]() mutable {
        std::vector<JobId> ids;
        for (auto& job : jobs) {
            submitted.push_back(std::move(job));
            ids.push_back(JobId(submitted.size()));
        }
        answer(ids);
    });
}

void FakeGateway::cancel(JobId job, std::string who, http::Answer<void> answer)
{
    calls.push_back(fmt::format("cancel {} by {}", job.value(), who));
    if (job.value() > submitted.size())
        return answer(fail(ErrorCode::NotFound, fmt::format("no job {}", job.value())));
    answer({});
}

void FakeGateway::retry(JobId job, std::string who, http::Answer<void> answer)
{
    calls.push_back(fmt::format("retry {} by {}", job.value(), who));
    answer(fail(ErrorCode::Conflict, fmt::format("job {} is still open", job.value())));
}

void FakeGateway::changed(JobId job, http::Answer<void> answer) const
{
    if (job.value() > submitted.size())
        return answer(fail(ErrorCode::NotFound, fmt::format("no job {}", job.value())));
    answer({});
}

void FakeGateway::bump(JobId job, bool bump, http::Answer<void> answer)
{
    calls.push_back(fmt::format("{} {}", bump ? "bump" : "unbump", job.value()));
    changed(job, std::move(answer));
}

void FakeGateway::hold(JobId job, bool hold, std::string note, http::Answer<void> answer)
{
    calls.push_back(fmt::format("{} {} [{}]", hold ? "hold" : "release", job.value(), note));
    changed(job, std::move(answer));
}

void FakeGateway::explain(JobId job, http::Answer<http::JobExplanation> answer)
{
    auto explained = explanation;
    explained.job = job;
    answer(std::move(explained));
}

void FakeGateway::findJobs(store::JobFilter filter, http::Answer<std::vector<store::JobView>> answer)
{
    std::vector<store::JobView> views;
    for (std::size_t index = submitted.size(); index-- > 0 && views.size() < filter.limit;) {
        const bool below = !filter.before || index + 1 < filter.before->value();
        if (below && (filter.name.empty() || submitted[index].spec.name == filter.name))
            views.push_back(viewOf(index));
    }
    answer(std::move(views));
}

void FakeGateway::findJob(JobId job, http::Answer<store::JobView> answer)
{
    if (job.value() > submitted.size())
        return answer(fail(ErrorCode::NotFound, fmt::format("no job {}", job.value())));
    answer(viewOf(job.value() - 1));
}

void FakeGateway::findSteps(store::StepFilter filter, http::Answer<std::vector<store::StepView>> answer)
{
    std::vector<store::StepView> views;
    if (filter.job && filter.job->value() <= submitted.size()) {
        store::StepView view{
            {StepId(filter.job->value()), submitted[filter.job->value() - 1].steps[0].spec, {}, {}},
            {},
            true,
            std::nullopt,
            {}};
        views.push_back(std::move(view));
    }
    answer(std::move(views));
}

void FakeGateway::findAttempts(store::AttemptFilter filter,
                               http::Answer<std::vector<store::AttemptView>> answer)
{
    std::vector<store::AttemptView> views;
    for (const auto& [id, bytes] : logs) {
        if (filter.attempt && filter.attempt->value() != id)
            continue;
        store::AttemptView view{{AttemptId(id), StepId(1), JobId(1), MachineId(1), 1, {}, {}}, "machine"};
        view.row.progress.state = work::AttemptState::Ended;
        view.row.progress.end = work::AttemptEnd::Succeeded;
        views.push_back(std::move(view));
    }
    answer(std::move(views));
}

void FakeGateway::readLog(AttemptId attempt, std::uint64_t offset, std::uint32_t limit,
                          http::Answer<feed::LogSlice> answer)
{
    const auto found = logs.find(attempt.value());
    if (found == logs.end())
        return answer(fail(ErrorCode::NotFound, fmt::format("no run {}", attempt.value())));
    const auto& bytes = found->second;
    feed::LogSlice slice;
    slice.offset = std::min<std::uint64_t>(offset, bytes.size());
    const auto part = bytes.substr(slice.offset, limit);
    if (!part.empty())
        slice.pieces.push_back({slice.offset, WallTime::fromMicros(0), feed::LogStream::Out, part});
    slice.next = slice.offset + part.size();
    slice.size = bytes.size();
    slice.ended = true;
    answer(std::move(slice));
}

void FakeGateway::machines(http::Answer<std::vector<http::MachineView>> answer)
{
    answer(farm);
}

void FakeGateway::machine(std::string nameOrId, http::Answer<http::MachineView> answer)
{
    const auto found = std::ranges::find(farm, nameOrId, [](const auto& each) { return each.entry.name; });
    if (found == farm.end())
        return answer(fail(ErrorCode::NotFound, fmt::format("no machine {}", nameOrId)));
    answer(*found);
}

void FakeGateway::drain(std::string nameOrId, bool drain, std::string note,
                        http::Answer<http::MachineView> answer)
{
    calls.push_back(fmt::format("{} {} {}", drain ? "drain" : "undrain", nameOrId, note));
    machine(nameOrId, std::move(answer));
}

void FakeGateway::changeThresholds(std::string nameOrId, http::ThresholdChange change,
                                   http::Answer<http::MachineView> answer)
{
    for (auto& each : farm)
        if (each.entry.name == nameOrId)
            change.applyTo(each.overrides);
    machine(nameOrId, std::move(answer));
}

void FakeGateway::trust(std::string nameOrId, http::Answer<http::MachineView> answer)
{
    calls.push_back("trust " + nameOrId);
    machine(nameOrId, std::move(answer));
}

void FakeGateway::removeMachine(std::string nameOrId, http::Answer<void> answer)
{
    if (std::erase_if(farm, [&](const auto& each) { return each.entry.name == nameOrId; }) == 0)
        return answer(fail(ErrorCode::NotFound, fmt::format("no machine {}", nameOrId)));
    answer({});
}

void FakeGateway::queues(http::Answer<std::vector<http::QueueView>> answer)
{
    answer(std::vector<http::QueueView>{{"x86_64-linux+kvm", "x86_64-linux", {"kvm"}, 5, 1, 2, 3,
                                         WallTime::fromMicros(1'500'000), 4, 6, {{"a", 1}, {"b", 4}}}});
}

void FakeGateway::shares(http::Answer<std::vector<http::ShareView>> answer)
{
    answer(groups);
}

void FakeGateway::setShares(work::ShareGroupRow group, http::Answer<http::ShareView> answer)
{
    http::ShareView view;
    view.group = group.name;
    view.shares = group.shares;
    groups.push_back(view);
    answer(view);
}

void FakeGateway::namespaces(http::Answer<std::vector<http::NamespaceView>> answer)
{
    answer(spaces);
}

void FakeGateway::changeNamespace(http::NamespaceChange change, http::Answer<http::NamespaceView> answer)
{
    auto found = std::ranges::find(spaces, change.name, [](const auto& each) { return each.limits.name; });
    if (found == spaces.end())
        found = spaces.insert(spaces.end(), http::NamespaceView{});
    change.applyTo(found->limits);
    answer(*found);
}

void FakeGateway::pause(bool pause, std::string who, std::string note, http::Answer<work::DispatchPause> answer)
{
    dispatch = {pause, std::move(who), std::move(note), WallTime::fromMicros(1'500'000)};
    answer(dispatch);
}

void FakeGateway::status(http::Answer<http::StatusView> answer)
{
    http::StatusView view;
    view.version = "0.1.0";
    view.serverName = "test";
    view.auth = "local";
    view.pause = dispatch;
    view.waiting = {{"slots-full", 3}};
    answer(view);
}

void FakeGateway::metrics(http::Answer<std::vector<http::MetricFamily>> answer)
{
    answer(std::vector{http::gauge("penstock_up", "Is it", 1)});
}

Result<void> FakeGateway::ready() const
{
    if (isReady)
        return {};
    return fail(ErrorCode::Unavailable, "the database cannot be reached");
}

void FakeGateway::addToken(store::TokenRow token, http::Answer<void> answer)
{
    tokens.push_back(std::move(token));
    answer({});
}

void FakeGateway::listTokens(http::Answer<std::vector<store::TokenRow>> answer)
{
    answer(tokens);
}

void FakeGateway::revokeToken(std::string id, http::Answer<void> answer)
{
    const auto found = std::ranges::find(tokens, id, &store::TokenRow::id);
    if (found == tokens.end())
        return answer(fail(ErrorCode::NotFound, fmt::format("no token {}", id)));
    found->revoked = true;
    answer({});
}

void FakeTokens::findToken(std::string id, auth::Answer<store::TokenRow> answer)
{
    ++asked;
    if (!reachable)
        return answer(fail(ErrorCode::Unavailable, "the database cannot be reached"));
    const auto found = rows.find(id);
    if (found == rows.end())
        return answer(fail(ErrorCode::NotFound, fmt::format("no token {}", id)));
    answer(found->second);
}

} // namespace penstock::test
