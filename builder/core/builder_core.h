// SPDX-License-Identifier: GPL-3.0-or-later
// BuilderCore: decides what this machine runs. Takes events, gives commands; the shells carry them out. Pure:
// no clock, no socket, no process; an object belongs to the builder's main loop.
//
// One attempt, as this core sees it (what the server calls "held"):
//
//   state     event                          becomes    commands
//   (none)    assigned, acceptable           Running    StartAttempt, answer "accepted"
//   (none)    assigned, not acceptable       (none)     answer "rejected" with the reason
//   Running   assigned again                 Running    answer "accepted"
//   Running   stop ordered / not wanted      Stopping   StopAttempt
//   Running   ended                          Finished   Send result
//   Stopping  ended, still wanted or ordered Finished   Send result
//   Stopping  ended, no longer wanted        (none)     ForgetAttempt
//   Finished  assigned again / link up       Finished   Send result
//   Finished  stored / no longer wanted      (none)     ForgetAttempt
//
// A lost link changes nothing here: running attempts go on, results wait.
#pragma once

#include "shared/protocol/link_values.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace penstock::builder {

// ------------------------------------------------------------------------------------------------------ events
struct LinkUp {};
struct LinkDown {};
struct DesiredArrived {
    protocol::Desired desired;
};
struct StoredArrived {
    std::vector<AttemptId> attempts;
};
struct AttemptEnded {
    protocol::AttemptResult result;
};
struct AttemptMoved { // a phase change
    protocol::AttemptProgress progress;
};
struct DrainAsked { // SIGTERM, or taken back
    bool draining;
    std::string note;
};
struct StopAsked { // the second SIGTERM or the end of the drain time: everything ends now
    std::string reason;
};
// Why no new work can be taken (disk, memory or inodes below the threshold, log spool full); empty: it can.
struct ResourcesChanged {
    std::string shortage;
};
struct FactsChanged {
    protocol::MachineFacts facts;
};
using CoreEvent = std::variant<LinkUp, LinkDown, DesiredArrived, StoredArrived, AttemptEnded, AttemptMoved, DrainAsked,
                               StopAsked, ResourcesChanged, FactsChanged>;

// ---------------------------------------------------------------------------------------------------- commands
struct StartAttempt {
    protocol::Assignment assignment;
};
struct StopAttempt {
    AttemptId attempt;
    protocol::Outcome outcome; // Cancelled, or Infrastructure when the builder itself stops
    std::string reason;
    bool atOnce; // no grace
};
struct ForgetAttempt { // its result need not be kept; its log goes on until the server has it, unless dropLog
    AttemptId attempt;
    bool dropLog;
};
struct Send {
    protocol::BuilderMessage message;
};
// Draining and nothing runs any more; said once. unsent: results that no server has confirmed.
struct Drained {
    std::size_t unsent;
};
using CoreCommand = std::variant<StartAttempt, StopAttempt, ForgetAttempt, Send, Drained>;

// An attempt that a former run of the program held.
struct RecoveredAttempt {
    StepId step;
    protocol::AttemptResult result;
};

class BuilderCore {
public:
    BuilderCore(protocol::MachineFacts facts, std::vector<RecoveredAttempt> recovered);

    [[nodiscard]] std::vector<CoreCommand> apply(std::vector<CoreEvent> batch);

    // For the next Report; load, time and number are the link's to add.
    [[nodiscard]] protocol::Report report() const;
    [[nodiscard]] const protocol::MachineFacts& facts() const { return m_facts; }
    [[nodiscard]] std::size_t runningCount() const { return m_running; }
    [[nodiscard]] std::size_t heldCount() const { return m_held.size(); }
    [[nodiscard]] bool draining() const { return m_draining; }

    // Empty when all counters and references agree; else what does not. For tests, after every event.
    [[nodiscard]] std::string findBrokenInvariant() const;

private:
    enum class State : std::uint8_t { Running, Stopping, Finished };
    struct Held {
        StepId step;
        State state;
        bool unwanted = false; // the server has no more interest in the result
        bool isSending = false;
        std::optional<protocol::AttemptResult> result;
    };
    using HeldMap = std::map<AttemptId, Held>;

    void on(LinkUp& event);
    void on(LinkDown& event);
    void on(DesiredArrived& event);
    void on(StoredArrived& event);
    void on(AttemptEnded& event);
    void on(AttemptMoved& event);
    void on(DrainAsked& event);
    void on(StopAsked& event);
    void on(ResourcesChanged& event);
    void on(FactsChanged& event);

    void assign(protocol::Assignment& assignment);
    void dropUnwanted(const protocol::Desired& desired);
    void stopRunning(AttemptId attempt, Held& held, protocol::Outcome outcome, std::string reason, bool atOnce);
    void answer(AttemptId attempt, protocol::RejectReason reason, std::string text);
    void accept(AttemptId attempt);
    HeldMap::iterator forget(HeldMap::iterator held, bool dropLog);
    void remember(StepId step, AttemptId attempt);
    void sayDrainedOnce();
    // The reason why this assignment cannot be taken, or nothing.
    [[nodiscard]] std::optional<protocol::AttemptAnswer> refusal(const protocol::Assignment& assignment) const;
    // What it asks for beyond what this machine has in all; empty: nothing.
    [[nodiscard]] std::string excessOf(const protocol::Assignment& assignment) const;

    protocol::MachineFacts m_facts;
    HeldMap m_held;
    std::size_t m_running = 0; // held in Running or Stopping
    std::size_t m_sending = 0; // of those, whose outputs are on their way: they take no slot
    // Newest attempt seen of a step, so that a late order cannot start an older one, nor one that was done here.
    std::map<StepId, AttemptId> m_newest; // at most kRememberedSteps; the lowest step is forgotten first
    std::uint64_t m_revision = 0;
    bool m_linkUp = false;
    bool m_draining = false;
    bool m_drainedSaid = false;
    std::string m_drainNote;
    std::string m_shortage;
    std::vector<CoreCommand> m_out;
};

inline constexpr std::size_t kRememberedSteps = 100'000;

} // namespace penstock::builder
