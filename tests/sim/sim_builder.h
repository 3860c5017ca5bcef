// SPDX-License-Identifier: GPL-3.0-or-later
// SimBuilder: a builder program on the simulated world: the real builder core and session behind the real
// protocol. Its spool survives a crash, what runs does not. Quirks make it slow, stubborn, short of room or a
// liar. One thread.
#pragma once

#include "builder/core/builder_core.h"
#include "shared/protocol/envelope.h"
#include "shared/protocol/session.h"
#include "tests/sim/ledger.h"
#include "tests/sim/sim_server.h"
#include "tests/sim/wire.h"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

namespace penstock::sim {

// What steps of one name really are.
struct Truth {
    Duration shortest{0};
    Duration longest{0};
    std::uint32_t milliThreads = 1000;
    std::uint64_t memoryBytes = 0;
};
using Truths = std::map<std::string, Truth>; // steps that are not named take as long as the machine likes

struct BuilderQuirks {
    std::uint64_t failPercent = 5;
    std::uint64_t infrastructurePercent = 3;
    std::uint64_t transientPercent = 2;
    std::uint64_t rejectPercent = 3;
    std::uint64_t repeatPercent = 5; // says things twice
    std::uint64_t ignoresStopPercent = 20;
    bool lies = false;
    bool isBlackHole = false; // fails everything at once, by its own fault
    Duration shortest{std::chrono::milliseconds(5)};
    Duration longest{std::chrono::seconds(5)};
};

class SimBuilder {
public:
    // truths outlives it.
    SimBuilder(SimServer& server, const Truths& truths, std::string identity, protocol::MachineFacts facts);

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
    // What others do on the machine.
    void setLoad(const protocol::LoadSample& others) { m_others = others; }
    [[nodiscard]] const protocol::MachineFacts& facts() const { return m_facts; }
    [[nodiscard]] const std::string& identity() const { return m_identity; }
    [[nodiscard]] bool isRetired() const { return m_isRetired; }
    void drain(bool draining);
    void lie(); // says something untrue, when it is that kind

private:
    struct Running {
        StepId step{0};
        protocol::Outcome planned = protocol::Outcome::Succeeded;
        WallTime started;
        Truth truth;
        work::Resources granted;
        std::vector<protocol::NixOutput> outputs; // what a success will name
    };

    void connect();
    void disconnected();
    void retryLater();
    void receive(const std::string& bytes);
    void handle(protocol::ServerMessage message);
    void welcome(const protocol::Welcome& welcome);
    void apply(builder::CoreEvent event);
    void carryOut(const builder::StartAttempt& command);
    void carryOut(const builder::StopAttempt& command);
    void carryOut(const builder::ForgetAttempt& command);
    void carryOut(const builder::Send& command);
    void carryOut(const builder::Drained&) {}
    void finish(AttemptId attempt, protocol::Outcome outcome);
    void report();
    [[nodiscard]] protocol::LoadSample load() const;
    void checkRoom(const protocol::Assignment& assignment);
    [[nodiscard]] bool isLinkUp() const;
    void send(const protocol::BuilderMessage& message);
    void watch();
    [[nodiscard]] protocol::Outcome choose();

    SimServer& m_server;
    World& m_world;
    Ledger& m_ledger;
    const Truths& m_truths;
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
    std::optional<builder::BuilderCore> m_core; // while the program runs
    std::map<AttemptId, Running> m_running;
    std::map<AttemptId, builder::RecoveredAttempt> m_spool; // on disk
    bool m_networkUp = true;
    protocol::LoadSample m_others;
};

} // namespace penstock::sim
