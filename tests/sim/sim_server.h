// SPDX-License-Identifier: GPL-3.0-or-later
// SimServer: a server process on the simulated world: the real core, dispatcher, outbox, session and
// envelope, over the memory store. A crash keeps the rows and nothing else. One thread.
#pragma once

#include "server/dispatch/dispatcher.h"
#include "server/store/memory_store.h"
#include "shared/protocol/envelope.h"
#include "shared/protocol/session.h"
#include "tests/sim/ledger.h"
#include "tests/sim/watched_store.h"
#include "tests/sim/wire.h"

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>

namespace penstock::sim {

// Tasks of one life of the server: those of an earlier life do not run.
class LifeLoop final : public Loop {
public:
    explicit LifeLoop(World& world) : m_world(world), m_alive(std::make_shared<bool>(true)) {}
    ~LifeLoop() override { kill(); }
    void kill() { *m_alive = false; } // nothing runs any more, also not what is posted later
    LifeLoop(const LifeLoop&) = delete;
    LifeLoop& operator=(const LifeLoop&) = delete;

    void post(Task task) override { static_cast<void>(run(Duration(0), std::move(task))); }
    TimerId postAt(Instant at, Task task) override;
    void cancel(TimerId timer) override;
    [[nodiscard]] bool isHere() const override { return true; }

private:
    std::pair<Instant, std::uint64_t> run(Duration delay, Task task);

    World& m_world;
    std::shared_ptr<bool> m_alive;
    std::map<TimerId, std::pair<Instant, std::uint64_t>> m_timers;
    TimerId m_nextTimer = 1;
};

class SimServer final : public dispatch::Sinks {
public:
    using Answer = std::function<void(const Result<std::variant<core::Submitted, core::Done>>&)>;

    SimServer(World& world, Ledger& ledger, const core::CoreOptions& options);

    [[nodiscard]] World& world() { return m_world; }
    [[nodiscard]] Ledger& ledger() { return m_ledger; }

    void start();
    // keepsInFlight: how many of the batches on their way to the disk still arrive there.
    void crash(std::size_t keepsInFlight);
    [[nodiscard]] bool isUp() const { return m_life != nullptr; }
    [[nodiscard]] std::size_t inFlight() const { return m_disk.size(); }

    void accept(const std::shared_ptr<Wire>& wire);
    void setDisk(Duration latency, bool reachable);

    // What a person or source wants. No answer comes when the server crashes before.
    template <class Event> void order(Event event, Answer answer)
    {
        if (!isUp())
            return;
        event.request = ask(std::move(answer));
        m_life->dispatcher->post(std::move(event));
    }
    void reopenJob(JobId job, Answer answer);

    [[nodiscard]] const core::FarmCore& core() const { return *m_life->core; }
    // Every counter over all lives.
    [[nodiscard]] core::Counters counters() const;
    void checkEvery(std::uint64_t batches) { m_checkEvery = batches; }
    void checkCore(); // invariants, when something has happened since; of a large farm now and then

private:
    struct Life {
        std::unique_ptr<LifeLoop> loop;
        std::unique_ptr<store::MemoryStore> memory;
        std::unique_ptr<WatchedStore> store;
        std::unique_ptr<core::FarmCore> core;
        std::unique_ptr<dispatch::Dispatcher> dispatcher;
        std::uint64_t checkedBatches = 0;
        std::uint64_t checkedStarts = 0;
        std::map<MachineId, AttemptId> newest; // known to run there
    };
    struct Peer {
        std::shared_ptr<Wire> wire;
        std::optional<protocol::Session> session;
        protocol::FrameDecoder decoder;
        bool isConnected = false; // the core has heard of it
    };

    void sendWelcome(SessionId session, MachineId machine) override;
    void sendDesired(SessionId session, protocol::Desired desired) override;
    void sendStored(SessionId session, std::vector<AttemptId> attempts) override;
    void closeSession(SessionId session, protocol::GoodbyeReason reason, std::string text) override;
    void reply(core::Reply reply) override;
    void publish(core::Publish changed) override;
    void attemptEnded(const work::AttemptUpdate&) override {}
    void fatal(Error error) override;

    void receive(SessionId id, const std::string& bytes);
    void handle(SessionId id, protocol::BuilderMessage message);
    void send(SessionId id, const protocol::ServerMessage& message);
    void gone(SessionId id, const std::string& why);
    void watchDeadlines(SessionId id);
    void runDisk();
    void checkStarts(); // no machine that is known to be over its thresholds
    [[nodiscard]] RequestId ask(Answer answer);

    World& m_world;
    Ledger& m_ledger;
    core::CoreOptions m_options;
    std::shared_ptr<store::MemoryTables> m_tables = std::make_shared<store::MemoryTables>();
    std::unique_ptr<Life> m_life;
    std::deque<Task> m_disk; // in order; the front one is on its way
    bool m_diskRuns = false;
    std::uint64_t m_diskLife = 0;
    Duration m_diskLatency{std::chrono::milliseconds(2)};
    bool m_diskReachable = true;
    std::map<SessionId, Peer> m_peers;
    std::uint64_t m_nextSession = 1;
    std::map<RequestId, Answer> m_answers;
    std::uint64_t m_nextRequest = 1;
    core::Counters m_past; // of earlier lives
    std::uint64_t m_checkEvery = 1;
    std::uint64_t m_recovered = 0; // attempts up to this one were started by earlier lives
};

} // namespace penstock::sim
