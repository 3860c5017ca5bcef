// SPDX-License-Identifier: GPL-3.0-or-later
// FarmGateway's part for operators: order, holds, machines, shares, limits, the pause of the farm.
#include "server/app/detail/gateway_asking.h"
#include "server/app/farm_gateway.h"
#include "server/app/http_views.h"

#include <utility>

namespace penstock::app {

FarmGateway::Waiting FarmGateway::doneToMachine(std::string nameOrId, http::Answer<http::MachineView> answer)
{
    return [this, nameOrId = std::move(nameOrId), answer = std::move(answer)](const core::Reply& reply) {
        if (!reply.answer)
            return answer(fail(reply.answer.error()));
        machine(nameOrId, answer);
    };
}

// ------------------------------------------------------------------------------------------------------ jobs

void FarmGateway::order(const std::function<core::Event(RequestId)>& make, http::Answer<void> answer)
{
    const RequestId id{m_nextRequest++};
    m_waiting.emplace(id, [answer = std::move(answer)](const core::Reply& reply) {
        answer(reply.answer ? Result<void>() : Result<void>(fail(reply.answer.error())));
    });
    m_parts.dispatcher.post(make(id));
}

void FarmGateway::bump(JobId job, bool bump, http::Answer<void> answer)
{
    request([&](RequestId id) { return core::BumpJob{id, job, bump, {}}; }, doneToJob(job, std::move(answer)));
}

void FarmGateway::hold(JobId job, bool hold, std::string note, http::Answer<void> answer)
{
    request([&](RequestId id) { return core::HoldJob{id, job, hold, std::move(note)}; },
            doneToJob(job, std::move(answer)));
}

// -------------------------------------------------------------------------------------------------- machines

void FarmGateway::machines(http::Answer<std::vector<http::MachineView>> answer)
{
    ask<std::vector<http::MachineView>>(
        [](const core::FarmCore& farm, Now) -> Result<std::vector<http::MachineView>> { return machineViews(farm); },
        std::move(answer));
}

void FarmGateway::machine(std::string nameOrId, http::Answer<http::MachineView> answer)
{
    ask<http::MachineView>(
        [nameOrId = std::move(nameOrId)](const core::FarmCore& farm, Now) { return machineNamed(farm, nameOrId); },
        std::move(answer));
}

void FarmGateway::drain(std::string nameOrId, bool drain, std::string note, http::Answer<http::MachineView> answer)
{
    request([&](RequestId id) { return core::DrainMachine{id, nameOrId, drain, std::move(note)}; },
            doneToMachine(nameOrId, std::move(answer)));
}

void FarmGateway::changeThresholds(std::string nameOrId, http::ThresholdChange change,
                                   http::Answer<http::MachineView> answer)
{
    machine(nameOrId, [this, nameOrId, change = std::move(change),
                       answer = std::move(answer)](Result<http::MachineView> view) {
        if (!view)
            return answer(std::move(view));
        work::ThresholdOverrides overrides = view->overrides;
        change.applyTo(overrides);
        request([&](RequestId id) { return core::SetThresholds{id, nameOrId, overrides}; },
                doneToMachine(nameOrId, answer));
    });
}

void FarmGateway::trust(std::string nameOrId, http::Answer<http::MachineView> answer)
{
    request([&](RequestId id) { return core::TrustMachine{id, nameOrId}; },
            doneToMachine(nameOrId, std::move(answer)));
}

void FarmGateway::removeMachine(std::string nameOrId, http::Answer<void> answer)
{
    request([&](RequestId id) { return core::RemoveMachine{id, std::move(nameOrId)}; },
            [answer = std::move(answer)](const core::Reply& reply) {
                if (!reply.answer)
                    return answer(fail(reply.answer.error()));
                answer({});
            });
}

// ----------------------------------------------------------------------------------- queues, shares, namespaces

void FarmGateway::queues(http::Answer<std::vector<http::QueueView>> answer)
{
    ask<std::vector<http::QueueView>>(
        [](const core::FarmCore& farm, Now) -> Result<std::vector<http::QueueView>> { return queueViews(farm); },
        std::move(answer));
}

void FarmGateway::shares(http::Answer<std::vector<http::ShareView>> answer)
{
    ask<std::vector<http::ShareView>>(
        [](const core::FarmCore& farm, Now now) -> Result<std::vector<http::ShareView>> {
            return shareViews(farm, now);
        },
        std::move(answer));
}

void FarmGateway::setShares(work::ShareGroupRow group, http::Answer<http::ShareView> answer)
{
    request([&](RequestId id) { return core::SetShares{id, group}; },
            [this, name = group.name, answer = std::move(answer)](const core::Reply& reply) {
                if (!reply.answer)
                    return answer(fail(reply.answer.error()));
                ask<http::ShareView>([name](const core::FarmCore& farm,
                                            Now now) -> Result<http::ShareView> { return shareOf(farm, name, now); },
                                     answer);
            });
}

void FarmGateway::namespaces(http::Answer<std::vector<http::NamespaceView>> answer)
{
    ask<std::vector<http::NamespaceView>>(
        [](const core::FarmCore& farm, Now) -> Result<std::vector<http::NamespaceView>> {
            return namespaceViews(farm);
        },
        std::move(answer));
}

void FarmGateway::changeNamespace(http::NamespaceChange change, http::Answer<http::NamespaceView> answer)
{
    const auto question = [name = change.name](const core::FarmCore& farm, Now) -> Result<http::NamespaceView> {
        return namespaceOf(farm, name);
    };
    ask<http::NamespaceView>(question, [this, question, change = std::move(change),
                                        answer = std::move(answer)](Result<http::NamespaceView> view) {
        if (!view)
            return answer(std::move(view));
        work::NamespaceRow limits = view->limits;
        change.applyTo(limits);
        request([&](RequestId id) { return core::SetNamespace{id, limits}; },
                [this, question, answer](const core::Reply& reply) {
                    if (!reply.answer)
                        return answer(fail(reply.answer.error()));
                    ask<http::NamespaceView>(question, answer);
                });
    });
}

void FarmGateway::pause(bool pause, std::string who, std::string note, http::Answer<work::DispatchPause> answer)
{
    request([&](RequestId id) { return core::PauseDispatch{id, pause, std::move(who), std::move(note)}; },
            [this, answer = std::move(answer)](const core::Reply& reply) {
                if (!reply.answer)
                    return answer(fail(reply.answer.error()));
                ask<work::DispatchPause>([](const core::FarmCore& farm,
                                            Now) -> Result<work::DispatchPause> { return farm.totals().pause; },
                                         answer);
            });
}

} // namespace penstock::app
