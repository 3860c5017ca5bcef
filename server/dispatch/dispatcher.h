// SPDX-License-Identifier: GPL-3.0-or-later
// Dispatcher: turns what arrives on any thread into batches for the core, stamps each batch with one Now, hands
// changes to the store and lets the outbox release the rest when they are durable. It decides nothing.
// Lives on the core loop; post(), postAll() and ask() are callable from any thread, the rest on the core loop only.
#pragma once

#include "server/core/event.h"
#include "server/core/farm_core.h"
#include "server/dispatch/outbox.h"
#include "server/store/store.h"
#include "shared/base/log.h"
#include "shared/base/loop.h"

#include <cstdint>
#include <functional>
#include <vector>

namespace penstock::dispatch {

// Where commands go. Called on the core loop; implementations post to their own loop and never block.
struct Sinks {
    virtual ~Sinks() = default;
    virtual void sendWelcome(SessionId session, MachineId machine) = 0;
    virtual void sendDesired(SessionId session, protocol::Desired desired) = 0;
    virtual void sendStored(SessionId session, std::vector<AttemptId> attempts) = 0;
    virtual void closeSession(SessionId session, protocol::GoodbyeReason reason, std::string text) = 0;
    virtual void reply(core::Reply reply) = 0;
    virtual void publish(core::Publish changed) = 0;
    // The attempt has ended and its log is progress.logBytes long when whole; not held back by the outbox.
    virtual void attemptEnded(const work::AttemptUpdate& update) = 0;
    // The store refused a batch for good: the process must end and recover from the rows.
    virtual void fatal(Error error) = 0;
};

struct DispatchCounters {
    std::uint64_t events = 0;
    std::uint64_t batches = 0;
    std::uint64_t persisted = 0;
    std::uint64_t slowestTurnMicros = 0;
    std::uint64_t busyMicros = 0;
};

class Dispatcher {
public:
    Dispatcher(Loop& loop, const Clock& clock, core::FarmCore& farm, store::Store& store, Sinks& sinks);

    void post(core::Event event);
    void postAll(std::vector<core::Event> events);
    // Runs the question on the core loop, where the farm may be read.
    void ask(std::function<void(const core::FarmCore&, Now)> question);

    // Carries out what recovery asked for. Before the first event.
    void start(std::vector<core::Command> commands);
    // Stops taking events; what is in flight to the store is still confirmed.
    void stop();
    // Forgets what the outbox holds for a session that is gone.
    void dropSession(SessionId session);

    [[nodiscard]] const DispatchCounters& counters() const { return m_counters; }
    [[nodiscard]] std::size_t held() const { return m_outbox.size(); }
    [[nodiscard]] std::uint64_t unconfirmed() const { return m_handedOver - m_outbox.confirmed(); }

private:
    void drain();
    void carryOut(std::vector<core::Command> commands);
    void release(std::vector<core::Command> commands);
    void persist(core::Persist persist);
    void confirmed(std::uint64_t sequence, const Result<void>& result);
    void arm(Instant at);

    Loop& m_loop;
    const Clock& m_clock;
    core::FarmCore& m_farm;
    store::Store& m_store;
    Sinks& m_sinks;
    Outbox m_outbox;
    std::vector<core::Event> m_pending;
    bool m_drainPosted = false;
    bool m_stopped = false;
    std::uint64_t m_handedOver = 0;
    Loop::TimerId m_timer = 0;
    Instant m_timerAt;
    DispatchCounters m_counters;
};

} // namespace penstock::dispatch
