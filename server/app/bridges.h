// SPDX-License-Identifier: GPL-3.0-or-later
// The two bridges between the net loop and the core loop. LinkBridge turns what builders say into events (called on
// the net loop); CoreBridge carries the core's commands to the net loop and the logs (called on the core loop).
// Neither decides anything.
#pragma once

#include "server/app/log_gate.h"
#include "server/dispatch/dispatcher.h"
#include "server/logs/log_store.h"
#include "server/net/builder_links.h"
#include "shared/base/loop.h"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace penstock::app {

// Takes what a builder with grants says of a build that succeeded, and hands it on once its outputs are there.
using CheckOutputs = std::function<void(SessionId, protocol::AttemptResult)>;

// What a source of jobs with tables and files of its own wants of what builders say. Without one all of it is empty.
struct LinkBeside {
    LogGate* gate = nullptr; // outlives the bridge; passes on to finished()
    // What the core took for true, behind it and on its loop; not every phase is told.
    std::function<void(AttemptId, const std::string& phase)> progressed = {};
    // Successes of builders that share the store with us are checked, too.
    bool checksAll = false;
};

class LinkBridge final : public net::LinkSink {
public:
    LinkBridge(dispatch::Dispatcher& dispatcher, logs::LogStore& logs, Loop& netLoop, Loop& coreLoop,
               CheckOutputs checkOutputs);
    ~LinkBridge() override;
    LinkBridge(const LinkBridge&) = delete;
    LinkBridge& operator=(const LinkBridge&) = delete;

    void setBeside(LinkBeside beside) { m_beside = std::move(beside); }
    // On the net loop: for the gate.
    void finished(SessionId session, protocol::AttemptResult result);

    // Whether the builder fetches and uploads by grants; else it shares its store with us.
    [[nodiscard]] bool takesGrants(SessionId session) const
    {
        const auto found = m_takesGrants.find(session);
        return found != m_takesGrants.end() && found->second;
    }
    // Told of each session that ends, after it has ended.
    void onDisconnected(std::function<void(SessionId)> told) { m_onDisconnected = std::move(told); }

    void connected(SessionId session, const protocol::Hello& hello, const std::string& credential) override;
    void messages(SessionId session, std::vector<protocol::BuilderMessage> messages,
                  std::function<void()> taken) override;
    void disconnected(SessionId session, const std::string& reason) override;
    void log(protocol::LogChunk chunk, std::function<void(Result<net::LogAnswer>)> answer) override;

private:
    struct Phase {
        AttemptId attempt;
        std::string word;
    };
    // Whether it is a build that has outputs the derivation says, not the builder.
    [[nodiscard]] bool isChecked(SessionId session, const protocol::AttemptResult& result) const
    {
        return result.outcome == protocol::Outcome::Succeeded && (m_beside.checksAll || takesGrants(session));
    }
    void tellPhases(std::vector<Phase> phases);
    void sortOut(SessionId session, std::vector<protocol::AttemptResult> results);
    void wait(SessionId session, protocol::AttemptResult result);

    dispatch::Dispatcher& m_dispatcher;
    logs::LogStore& m_logs;
    Loop& m_netLoop;
    Loop& m_coreLoop;
    const CheckOutputs m_checkOutputs;
    LinkBeside m_beside;
    std::function<void(SessionId)> m_onDisconnected;
    std::map<SessionId, bool> m_takesGrants; // open sessions
    std::shared_ptr<bool> m_alive; // answers that come home after our end look here first
};

// What the net loop does with commands; each is called on the net loop.
struct NetActions {
    std::function<void(SessionId, MachineId)> welcome;
    std::function<void(SessionId, protocol::Desired)> desired;
    std::function<void(SessionId, std::vector<AttemptId>)> stored;
    std::function<void(SessionId, protocol::GoodbyeReason, const std::string&)> close;
    std::function<void(const core::Reply&)> reply;
    std::function<void(const core::Publish&)> publish;
    // drvPath: of what it built; empty: nothing that a log tells of. Before its log is said to be whole.
    std::function<void(AttemptId, const std::string& drvPath)> attemptEnded;
    std::function<void(const Error&)> fatal;
};

class CoreBridge final : public dispatch::Sinks {
public:
    CoreBridge(Loop& netLoop, logs::LogStore& logs, NetActions actions);

    // Attempts that go on over our restart; before the core loop runs.
    void adopt(const work::Recovery& recovery);

    void sendWelcome(SessionId session, MachineId machine) override;
    void sendDesired(SessionId session, protocol::Desired desired) override;
    void sendStored(SessionId session, std::vector<AttemptId> attempts) override;
    void closeSession(SessionId session, protocol::GoodbyeReason reason, std::string text) override;
    void reply(core::Reply reply) override;
    void publish(core::Publish changed) override;
    void attemptEnded(const work::AttemptUpdate& update) override;
    void fatal(Error error) override;

private:
    void handedOut(AttemptId attempt, const std::string& drvPath);

    Loop& m_netLoop;
    logs::LogStore& m_logs;
    const std::shared_ptr<const NetActions> m_actions;
    // Of live attempts, as the core forgets a step as soon as nobody wants it: before its log is whole.
    std::map<AttemptId, std::string> m_building;
};

} // namespace penstock::app
