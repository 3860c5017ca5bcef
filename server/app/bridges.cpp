// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/bridges.h"

#include "shared/protocol/session.h"

#include <algorithm>
#include <type_traits>
#include <utility>
#include <variant>

namespace penstock::app {
namespace {

core::Event toEvent(SessionId session, protocol::BuilderMessage&& message)
{
    return std::visit(
        [session](auto&& m) -> core::Event {
            using T = std::decay_t<decltype(m)>;
            if constexpr (std::is_same_v<T, protocol::Report>)
                return core::MachineReported{session, m.appliedRevision, std::move(m.held), std::move(m.load)};
            else if constexpr (std::is_same_v<T, protocol::AttemptAnswer>)
                return core::AttemptAnswered{session, std::move(m)};
            else if constexpr (std::is_same_v<T, protocol::AttemptResult>)
                return core::AttemptFinished{session, std::move(m)};
            else if constexpr (std::is_same_v<T, protocol::AttemptProgress>)
                return core::AttemptProgressed{session, m.attempt, std::move(m.phase), m.startedAt};
            else if constexpr (std::is_same_v<T, protocol::Drain>)
                return core::MachineDrains{session, m.draining, std::move(m.note)};
            else if constexpr (std::is_same_v<T, protocol::MachineFacts>)
                return core::MachineFactsChanged{session, std::move(m)};
            else // hello, goodbye and logs stay in the link
                return core::TimerFired{};
        },
        std::move(message));
}

} // namespace

LinkBridge::LinkBridge(dispatch::Dispatcher& dispatcher, logs::LogStore& logs, Loop& netLoop, Loop& coreLoop,
                       CheckOutputs checkOutputs)
    : m_dispatcher(dispatcher), m_logs(logs), m_netLoop(netLoop), m_coreLoop(coreLoop),
      m_checkOutputs(std::move(checkOutputs)), m_alive(std::make_shared<bool>(true))
{
}

LinkBridge::~LinkBridge()
{
    *m_alive = false;
}

void LinkBridge::connected(SessionId session, const protocol::Hello& hello, const std::string& credential)
{
    const bool takesGrants = std::ranges::find(hello.features, protocol::kGrantsFeature) != hello.features.end();
    m_takesGrants.insert_or_assign(session, takesGrants);
    m_dispatcher.post(core::MachineConnected{session, hello.identity, hello.instance, credential, hello.version,
                                             hello.facts});
}

void LinkBridge::messages(SessionId session, std::vector<protocol::BuilderMessage> messages,
                          std::function<void()> taken)
{
    std::vector<core::Event> events;
    events.reserve(messages.size());
    std::vector<Phase> phases;
    std::vector<protocol::AttemptResult> results; // that are to wait for something
    for (protocol::BuilderMessage& message : messages) {
        const auto* progress = std::get_if<protocol::AttemptProgress>(&message);
        if (progress != nullptr && m_beside.progressed)
            phases.push_back({progress->attempt, progress->phase});
        auto* result = std::get_if<protocol::AttemptResult>(&message);
        if (result != nullptr && (m_beside.gate != nullptr || isChecked(session, *result)))
            results.push_back(std::move(*result));
        else
            events.push_back(toEvent(session, std::move(message)));
    }
    m_dispatcher.postAll(std::move(events));
    if (!phases.empty())
        tellPhases(std::move(phases));
    if (!results.empty())
        sortOut(session, std::move(results));
    m_coreLoop.post([&loop = m_coreLoop, taken = std::move(taken)]() mutable { loop.post(std::move(taken)); });
}

// An attempt's number is no secret: what another machine says of it, or what is said of one that is over, must neither
// end its log nor take the place of what waits. The core refuses or answers it at once. Asked as phases are, below.
void LinkBridge::sortOut(SessionId session, std::vector<protocol::AttemptResult> results)
{
    auto question = [this, &dispatcher = m_dispatcher, &netLoop = m_netLoop, alive = m_alive, session,
                     results = std::move(results)](const core::FarmCore& farm, Now) mutable {
        const auto others = std::stable_partition(results.begin(), results.end(), [&](const auto& result) {
            return farm.isLiveOf(result.attempt, session);
        });
        for (auto result = others; result != results.end(); ++result)
            dispatcher.post(core::AttemptFinished{session, std::move(*result)});
        results.erase(others, results.end());
        if (results.empty())
            return;
        netLoop.post([this, alive, session, results = std::move(results)]() mutable {
            if (*alive)
                for (protocol::AttemptResult& result : results)
                    wait(session, std::move(result));
        });
    };
    m_coreLoop.post([&dispatcher = m_dispatcher, question = std::move(question)]() mutable {
        dispatcher.ask(std::move(question));
    });
}

// Of a session that has ended meanwhile it is dropped: the builder says it again with its next connection.
void LinkBridge::wait(SessionId session, protocol::AttemptResult result)
{
    if (!m_takesGrants.contains(session))
        return;
    if (m_beside.gate != nullptr)
        return m_beside.gate->hold(session, std::move(result));
    finished(session, std::move(result));
}

void LinkBridge::finished(SessionId session, protocol::AttemptResult result)
{
    if (isChecked(session, result))
        m_checkOutputs(session, std::move(result));
    else
        m_dispatcher.post(core::AttemptFinished{session, std::move(result)});
}

// Which attempts are this machine's the core knows: it shows a phase only when it took it. The question is put from the
// loop itself, as the batch that holds the events is taken behind what is posted now.
void LinkBridge::tellPhases(std::vector<Phase> phases)
{
    auto question = [told = m_beside.progressed, phases = std::move(phases)](const core::FarmCore& farm, Now) {
        for (const Phase& phase : phases) {
            const auto view = farm.attempt(phase.attempt);
            if (view && view->progress.state != work::AttemptState::Ended && view->phase == phase.word)
                told(phase.attempt, phase.word);
        }
    };
    m_coreLoop.post([&dispatcher = m_dispatcher, question = std::move(question)]() mutable {
        dispatcher.ask(std::move(question));
    });
}

void LinkBridge::disconnected(SessionId session, const std::string& reason)
{
    m_takesGrants.erase(session);
    if (m_beside.gate != nullptr)
        m_beside.gate->drop(session);
    m_dispatcher.post(core::MachineDisconnected{session, reason});
    m_coreLoop.post([&dispatcher = m_dispatcher, session] { dispatcher.dropSession(session); });
    if (m_onDisconnected)
        m_onDisconnected(session);
}

void LinkBridge::log(protocol::LogChunk chunk, std::function<void(Result<net::LogAnswer>)> answer)
{
    m_logs.append(std::move(chunk), [answer = std::move(answer)](Result<logs::Stored> stored) {
        if (!stored)
            return answer(fail(std::move(stored).error()));
        answer(net::LogAnswer{stored->offset, stored->stop});
    });
}

CoreBridge::CoreBridge(Loop& netLoop, logs::LogStore& logs, NetActions actions)
    : m_netLoop(netLoop), m_logs(logs), m_actions(std::make_shared<const NetActions>(std::move(actions)))
{
}

void CoreBridge::handedOut(AttemptId attempt, const std::string& drvPath)
{
    if (m_building.insert_or_assign(attempt, drvPath).second && m_logs.hasTap())
        m_logs.opened(attempt, drvPath);
}

void CoreBridge::adopt(const work::Recovery& recovery)
{
    std::map<StepId, AttemptId> live;
    for (const work::AttemptRow& attempt : recovery.attempts) {
        if (attempt.progress.state != work::AttemptState::Ended)
            live.insert_or_assign(attempt.step, attempt.id);
    }
    for (const work::StepRow& step : recovery.steps) {
        const auto attempt = live.find(step.id);
        if (attempt == live.end())
            continue;
        if (const auto* nix = std::get_if<work::NixWork>(step.spec.work.get()); nix != nullptr)
            handedOut(attempt->second, nix->drvPath);
    }
}

void CoreBridge::sendWelcome(SessionId session, MachineId machine)
{
    m_netLoop.post([actions = m_actions, session, machine] { actions->welcome(session, machine); });
}

void CoreBridge::sendDesired(SessionId session, protocol::Desired desired)
{
    for (const protocol::Assignment& assignment : desired.assign)
        if (const auto* nix = std::get_if<protocol::NixWork>(&assignment.work); nix != nullptr)
            handedOut(assignment.attempt, nix->drvPath);
    m_netLoop.post([actions = m_actions, session, desired = std::move(desired)]() mutable {
        actions->desired(session, std::move(desired));
    });
}

void CoreBridge::sendStored(SessionId session, std::vector<AttemptId> attempts)
{
    m_netLoop.post([actions = m_actions, session, attempts = std::move(attempts)]() mutable {
        actions->stored(session, std::move(attempts));
    });
}

void CoreBridge::closeSession(SessionId session, protocol::GoodbyeReason reason, std::string text)
{
    m_netLoop.post([actions = m_actions, session, reason, text = std::move(text)] {
        actions->close(session, reason, text);
    });
}

void CoreBridge::reply(core::Reply reply)
{
    m_netLoop.post([actions = m_actions, reply = std::move(reply)] { actions->reply(reply); });
}

void CoreBridge::publish(core::Publish changed)
{
    m_netLoop.post([actions = m_actions, changed = std::move(changed)] { actions->publish(changed); });
}

void CoreBridge::attemptEnded(const work::AttemptUpdate& update)
{
    auto building = m_building.extract(update.id);
    std::string drvPath;
    // An attempt that found all there has nothing to tell that the build itself has not told better.
    if (!building.empty() && update.progress.end != work::AttemptEnd::Cached && update.progress.logBytes > 0)
        drvPath = std::move(building.mapped());
    m_netLoop.post([actions = m_actions, attempt = update.id, drvPath = std::move(drvPath)] {
        actions->attemptEnded(attempt, drvPath);
    });
    const bool wasRefused = update.progress.end == work::AttemptEnd::Rejected;
    const bool wasThere = update.progress.end == work::AttemptEnd::Cached;
    m_logs.end(update.id, update.progress.logBytes, update.progress.started && !wasRefused && !wasThere);
}

void CoreBridge::fatal(Error error)
{
    m_netLoop.post([actions = m_actions, error = std::move(error)] { actions->fatal(error); });
}

} // namespace penstock::app
