// SPDX-License-Identifier: GPL-3.0-or-later
// SimBuilder: a builder program on the simulated world, speaking the real protocol. Its spool survives a crash, what
// runs does not. Quirks make it slow, stubborn, forgetful or a liar. One thread.
#pragma once

#include "shared/protocol/envelope.h"
#include "shared/protocol/session.h"
#include "tests/sim/ledger.h"
#include "tests/sim/sim_server.h"
#include "tests/sim/wire.h"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

namespace penstock::sim {

struct BuilderQuirks {
    std::uint64_t failPercent = 5;
    std::uint64_t infrastructurePercent = 3;
    std::uint64_t transientPercent = 2;
    std::uint64_t rejectPercent = 3;
    std::uint64_t repeatPercent = 5; // says things twice
    std::uint64_t ignoresStopPercent = 20;
    bool lies = false;
    Duration shortest{std::chrono::milliseconds(5)};
    Duration longest{std::chrono::seconds(5)};
};

class SimBuilder {
public:
    SimBuilder(World& world, Ledger& ledger, SimServer& server, std::string identity, protocol::MachineFacts facts);

    BuilderQuirks quirks;

    void start(); // the program
    void crash(); // the program, by SIGKILL: children die with it
    void retire() // never to be seen again
    {
        crash();
        m_isRetired = true;
    }
    void cutLink(bool halfOpen);
    void setNetwork(bool reachable) { m_networkUp = reachable; }
    void setLoad(double load1) { m_load1 = load1; }
    void drain(bool draining);
    void lie(); // says something untrue, when it is that kind

private:
    struct Held {
        StepId step{0};
        bool isRunning = true;
        protocol::Outcome planned = protocol::Outcome::Succeeded;
        bool isStopped = false;
    };

    void connect();
    void disconnected();
    void retryLater();
    void receive(const std::string& bytes);
    void handle(const protocol::Welcome& welcome);
    void handle(const protocol::Desired& desired);
    void handle(const protocol::ResultStored& stored);
    void assign(const protocol::Assignment& assignment);
    void stop(AttemptId attempt);
    void finish(AttemptId attempt, protocol::Outcome outcome);
    void kill(AttemptId attempt);
    void report();
    void sendResult(AttemptId attempt);
    void send(const protocol::BuilderMessage& message);
    void watch();
    [[nodiscard]] std::uint32_t running() const;
    [[nodiscard]] protocol::Outcome choose();

    World& m_world;
    Ledger& m_ledger;
    SimServer& m_server;
    std::string m_identity;
    protocol::MachineFacts m_facts;
    bool m_isUp = false;
    bool m_isRetired = false;
    std::uint64_t m_life = 0;
    std::uint64_t m_connection = 0;
    std::string m_instance;
    std::shared_ptr<Wire> m_wire;
    std::optional<protocol::Session> m_session;
    std::unique_ptr<protocol::FrameDecoder> m_decoder;
    std::uint64_t m_applied = 0;
    std::map<AttemptId, Held> m_held;
    std::map<AttemptId, protocol::AttemptResult> m_spool; // on disk
    bool m_networkUp = true;
    bool m_draining = false;
    double m_load1 = 0;
    std::set<AttemptId> m_seen; // for lies
};

} // namespace penstock::sim
