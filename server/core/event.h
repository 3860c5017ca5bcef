// SPDX-License-Identifier: GPL-3.0-or-later
// Everything that can happen to the core: a closed variant. Shells decode and check what came in and hand it over as
// one of these; the core never sees bytes, SQL, JSON or protobuf. Values.
#pragma once

#include "server/work/changes.h"
#include "shared/base/ids.h"
#include "shared/base/result.h"
#include "shared/protocol/link_values.h"

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace penstock::core {

// ----------------------------------------------------------------------------------------------- from people

// A job as it was checked by the source. dependsOn holds indices into the same vector (smaller or larger, no
// cycles: the core refuses those). A step whose sharingKey is live already becomes that step.
struct StepRequest {
    work::StepSpec spec;
    std::vector<std::uint32_t> dependsOn;
    bool root = true;
    // Its outputs are where they must be already: a step of its own that is finished from the start and waits for
    // nothing, whatever dependsOn says.
    bool cached = false;
    // Stands for the live step of its sharing key and says nothing else of it (dependsOn is empty). When there is none,
    // or it has ended, the submission is refused: Conflict, "no live step for KEY". A job before it in the submission
    // may make it.
    bool isReference = false;
};

// Which of its steps a job is told of. Roots: what they need is wanted because they are, and is no entry of the job:
// for jobs so many, over a graph so large, that they could not all list what they need.
enum class Claims : std::uint8_t { All, Roots };

struct JobRequest {
    work::JobSpec spec;
    std::vector<StepRequest> steps; // at least one
    Claims claims = Claims::All;
    std::optional<WallTime> bumped = {}; // from the start
};

// The farm's own jobs, such as probes of machines. Submissions to it are refused.
inline const std::string kOwnNamespace = "penstock";

// Several jobs, all or none. Answered by Submitted once all is durable.
struct SubmitJobs {
    RequestId request;
    std::vector<JobRequest> jobs;
};

// Answered by Done; NotFound "no job 42" when it is not open (the shell then looks in the store for finished ones).
struct CancelJob {
    RequestId request;
    JobId job;
    std::string who; // for the reason shown at the builder and in the log
};

// A finished job is opened again: its steps that did not succeed run anew. Answered by Done.
struct ReopenJob {
    RequestId request;
    work::StoredJob stored;
};

// By an operator. Answered by Done; NotFound when no machine has the name or id.
struct DrainMachine {
    RequestId request;
    std::string machine; // name, or decimal id
    bool drain;
    std::string note;
};

// Before everything that is not bumped, the newest bump first; or back to its place. Answered like CancelJob.
struct BumpJob {
    RequestId request;
    JobId job;
    bool bump;
    std::optional<WallTime> at = {}; // when it was bumped; nothing: now
};

// The same for many in one event, such as a whole evaluation. Answered by Done: those that are not open are passed over.
struct BumpJobs {
    struct Order {
        JobId job;
        std::optional<WallTime> at; // nothing: back to its place
    };
    RequestId request;
    std::vector<Order> orders;
};

// None of its steps starts for it until it is released. Answered like CancelJob.
struct HoldJob {
    RequestId request;
    JobId job;
    bool hold;
    std::string note; // who and why
};

// Nothing new starts on the whole farm. Answered by Done.
struct PauseDispatch {
    RequestId request;
    bool pause;
    std::string who;
    std::string note;
};

// Answered by Done. Invalid: shares of zero.
struct SetShares {
    RequestId request;
    work::ShareGroupRow group;
};
struct SetNamespace {
    RequestId request;
    work::NamespaceRow limits;
};

// The whole set of overrides, in place of the former. Answered like DrainMachine.
struct SetThresholds {
    RequestId request;
    std::string machine;
    work::ThresholdOverrides overrides;
};

// Out of quarantine at once. Answered like DrainMachine.
struct TrustMachine {
    RequestId request;
    std::string machine;
};

// A machine that is away and runs nothing is forgotten. Answered like DrainMachine; Conflict while it is connected or
// its attempts are not over.
struct RemoveMachine {
    RequestId request;
    std::string machine;
};

// ---------------------------------------------------------------------------------------------- from builders

struct MachineConnected { // Hello was checked by the link: versions, token, limits
    SessionId session;
    std::string identity;
    std::string instance;
    std::string credential; // token id or "local"
    std::string version;
    protocol::MachineFacts facts;
};

struct MachineReported {
    SessionId session;
    std::uint64_t appliedRevision;
    std::vector<protocol::HeldAttempt> held;
    protocol::LoadSample load;
};

struct MachineFactsChanged {
    SessionId session;
    protocol::MachineFacts facts;
};

struct AttemptAnswered {
    SessionId session;
    protocol::AttemptAnswer answer;
};

struct AttemptProgressed {
    SessionId session;
    AttemptId attempt;
    std::string phase;
    WallTime started;
};

struct AttemptFinished {
    SessionId session;
    protocol::AttemptResult result;
    bool isMachines = true; // its word, and its fault; else the shell's, and the machine is not judged by it
};

struct MachineDrains { // the builder itself asks for no new work, or takes that back
    SessionId session;
    bool draining;
    std::string note;
};

struct MachineDisconnected {
    SessionId session;
    std::string reason;
};

// ---------------------------------------------------------------------------------------------- from the shells

// The store confirmed every batch up to and including this sequence.
struct StoreConfirmed {
    std::uint64_t sequence;
};

// The store cannot be reached (its error) or can again: only for display and readiness; the outbox holds what waits.
struct StoreHealth {
    bool ok;
    std::string error;
};

// A deadline armed by ArmTimer may be due. Harmless when it is not.
struct TimerFired {};

using Event = std::variant<SubmitJobs, CancelJob, ReopenJob, DrainMachine, BumpJob, BumpJobs, HoldJob, PauseDispatch,
                           SetShares, SetNamespace, SetThresholds, TrustMachine, RemoveMachine, MachineConnected,
                           MachineReported, MachineFactsChanged, AttemptAnswered, AttemptProgressed, AttemptFinished,
                           MachineDrains, MachineDisconnected, StoreConfirmed, StoreHealth, TimerFired>;

} // namespace penstock::core
