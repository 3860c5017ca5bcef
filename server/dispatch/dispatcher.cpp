// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/dispatch/dispatcher.h"

#include <algorithm>
#include <iterator>
#include <type_traits>
#include <utility>
#include <variant>

namespace penstock::dispatch {

Dispatcher::Dispatcher(Loop& loop, const Clock& clock, core::FarmCore& farm, store::Store& store, Sinks& sinks)
    : m_loop(loop), m_clock(clock), m_farm(farm), m_store(store), m_sinks(sinks)
{
}

void Dispatcher::post(core::Event event)
{
    std::vector<core::Event> one;
    one.push_back(std::move(event));
    postAll(std::move(one));
}

void Dispatcher::postAll(std::vector<core::Event> events)
{
    m_loop.post([this, events = std::move(events)]() mutable {
        if (m_stopped)
            return;
        std::move(events.begin(), events.end(), std::back_inserter(m_pending));
        // The drain goes behind everything that is queued already: one batch takes it all.
        if (!std::exchange(m_drainPosted, true))
            m_loop.post([this] { drain(); });
    });
}

void Dispatcher::ask(std::function<void(const core::FarmCore&, Now)> question)
{
    m_loop.post([this, question = std::move(question)] { question(m_farm, m_clock.now()); });
}

void Dispatcher::start(std::vector<core::Command> commands)
{
    m_loop.checkHere();
    carryOut(std::move(commands));
}

void Dispatcher::stop()
{
    m_loop.checkHere();
    m_stopped = true;
    m_pending.clear();
    m_loop.cancel(m_timer);
}

void Dispatcher::dropSession(SessionId session)
{
    m_loop.checkHere();
    m_outbox.dropSession(session);
}

void Dispatcher::drain()
{
    m_drainPosted = false;
    if (m_stopped || m_pending.empty())
        return;
    std::vector<core::Event> batch = std::exchange(m_pending, {});
    const Now now = m_clock.now();
    ++m_counters.batches;
    m_counters.events += batch.size();
    carryOut(m_farm.consume(batch, now));
    const Duration turn = m_clock.now().mono - now.mono;
    m_counters.busyMicros += static_cast<std::uint64_t>(turn.count());
    m_counters.slowestTurnMicros =
        std::max(m_counters.slowestTurnMicros, static_cast<std::uint64_t>(turn.count()));
}

void Dispatcher::carryOut(std::vector<core::Command> commands)
{
    const auto persistAt = std::find_if(commands.begin(), commands.end(), [](const core::Command& command) {
        return std::holds_alternative<core::Persist>(command);
    });
    if (persistAt != commands.end()) {
        core::Persist changes = std::move(std::get<core::Persist>(*persistAt));
        commands.erase(persistAt);
        persist(std::move(changes));
    }
    release(m_outbox.hold(std::move(commands)));
}

void Dispatcher::persist(core::Persist persist)
{
    for (const work::AttemptUpdate& update : persist.changes.attempts)
        if (update.progress.state == work::AttemptState::Ended)
            m_sinks.attemptEnded(update);
    const std::uint64_t sequence = persist.sequence;
    m_handedOver = sequence;
    m_store.persist(std::move(persist.changes), persist.marks, [this, sequence](Result<void> result) {
        m_loop.post([this, sequence, result = std::move(result)] { confirmed(sequence, result); });
    });
}

void Dispatcher::confirmed(std::uint64_t sequence, const Result<void>& result)
{
    if (!result) {
        if (!std::exchange(m_stopped, true))
            m_sinks.fatal(result.error());
        return;
    }
    ++m_counters.persisted;
    release(m_outbox.confirm(sequence));
    post(core::StoreConfirmed{sequence});
}

void Dispatcher::release(std::vector<core::Command> commands)
{
    for (core::Command& command : commands) {
        std::visit(
            [this](auto& c) {
                using T = std::decay_t<decltype(c)>;
                if constexpr (std::is_same_v<T, core::SendWelcome>)
                    m_sinks.sendWelcome(c.session, c.machine);
                else if constexpr (std::is_same_v<T, core::SendDesired>)
                    m_sinks.sendDesired(c.session, std::move(c.desired));
                else if constexpr (std::is_same_v<T, core::SendStored>)
                    m_sinks.sendStored(c.session, std::move(c.attempts));
                else if constexpr (std::is_same_v<T, core::CloseSession>)
                    m_sinks.closeSession(c.session, c.reason, std::move(c.text));
                else if constexpr (std::is_same_v<T, core::Reply>)
                    m_sinks.reply(std::move(c));
                else if constexpr (std::is_same_v<T, core::Publish>)
                    m_sinks.publish(std::move(c));
                else if constexpr (std::is_same_v<T, core::ArmTimer>)
                    arm(c.at);
            },
            command);
    }
}

void Dispatcher::arm(Instant at)
{
    if (m_timer != 0 && m_timerAt == at)
        return;
    m_loop.cancel(m_timer);
    m_timerAt = at;
    m_timer = m_loop.postAt(at, [this] {
        m_timer = 0;
        post(core::TimerFired{});
    });
}

} // namespace penstock::dispatch
