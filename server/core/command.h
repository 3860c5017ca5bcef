// SPDX-License-Identifier: GPL-3.0-or-later
// Everything the core can ask for: a closed variant. The dispatcher carries commands out in order. Those that carry
// `after` may leave only when the batch of that sequence is durable (0: at once): the outbox knows this, nobody else.
#pragma once

#include "server/work/changes.h"
#include "shared/base/ids.h"
#include "shared/base/result.h"
#include "shared/protocol/link_values.h"

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace penstock::core {

struct Persist {
    std::uint64_t sequence; // 1, 2, 3 …; one per apply() at most
    work::Changes changes;
    work::IdMarks marks;
};

// To a builder.
struct SendWelcome {
    SessionId session;
    MachineId machine;
    std::uint64_t after;
};
// Assignments of derivations carry neither text nor input paths: the shell puts them in.
struct SendDesired {
    SessionId session;
    protocol::Desired desired;
    std::uint64_t after;
};
struct SendStored { // results that are durable: the builder may forget them
    SessionId session;
    std::vector<AttemptId> attempts;
    std::uint64_t after;
};
struct CloseSession {
    SessionId session;
    protocol::GoodbyeReason reason;
    std::string text;
};

// To whoever asked.
struct Submitted {
    std::vector<JobId> jobs;
};
struct Done {};
struct Reply {
    RequestId request;
    Result<std::variant<Submitted, Done>> answer;
    std::uint64_t after;
};

// To the feed: what changed, by id; the feed asks the core for the records it needs (FarmView) when it publishes.
struct Publish {
    std::vector<JobId> jobs;
    std::vector<StepId> steps; // of jobs that may be watched
    std::vector<MachineId> machines;
    std::uint64_t after;
};

// Call apply(TimerFired) at or soon after this instant. Replaces the former one.
struct ArmTimer {
    Instant at;
};

using Command = std::variant<Persist, SendWelcome, SendDesired, SendStored, CloseSession, Reply, Publish, ArmTimer>;

} // namespace penstock::core
