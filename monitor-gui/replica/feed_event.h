// SPDX-License-Identifier: GPL-3.0-or-later
// What arrives from a server, as plain values: one FeedEvent for each FeedMessage of proto/monitor.proto.
// Pure, callable from any thread. Every count and length has been checked by whoever made the event.
#pragma once

#include "monitor-gui/replica/explanation.h"
#include "monitor-gui/replica/records.h"

#include <string>
#include <variant>
#include <vector>

namespace penstock::gui {

struct HelloEvent {
    std::uint32_t protocol = 0;
    std::string version;
    std::string serverName;
    Duration period{0};        // of farm deltas
    Duration machinePeriod{0}; // of each machine's report
};

struct SnapshotEvent {
    std::uint64_t watch = 0;
    std::string stream;
    std::uint64_t number = 0;
    FarmTotals totals;
    std::vector<QueuePtr> queues;
    std::vector<MachinePtr> machines;
    std::vector<JobPtr> jobs;
    std::vector<SharePtr> shares;
    bool resumed = false; // nothing here; deltas after the asked number follow
};

struct DeltaEvent {
    std::uint64_t watch = 0;
    std::uint64_t number = 0;
    FarmTotals totals;
    std::vector<QueuePtr> queues;
    std::vector<MachinePtr> machines;
    std::vector<JobPtr> jobs;
    std::vector<std::string> removedQueues;
    std::vector<MachineId> removedMachines;
    std::vector<JobId> removedJobs;
    std::vector<SharePtr> shares;
    std::vector<std::string> removedShares;
};

struct JobEvent {
    std::uint64_t watch = 0;
    JobPtr job; // null: the job's own record did not change
    std::vector<StepPtr> steps;
    bool complete = false;      // steps lists all of them
    std::optional<JobId> asked; // which job the watch was for; filled in by the stream
    std::string refusal;        // the server will not show it, and why; filled in by the stream
};

struct LogEvent {
    std::uint64_t watch = 0;
    std::optional<AttemptId> attempt;
    std::uint64_t offset = 0; // of the first piece
    std::uint64_t gap = 0;    // bytes left out before offset
    std::uint64_t size = 0;   // known length
    bool ended = false;
    std::vector<LogPiece> pieces;
    std::string refusal; // the server will not show it, and why; filled in by the stream
};

struct ExplanationEvent {
    std::uint64_t request = 0;
    std::shared_ptr<const Explanation> explanation; // null with a refusal
    std::optional<WhyTarget> asked;                 // filled in by the stream
    std::string refusal;                            // the server will not say, and why; filled in by the stream
};

struct WatchEndEvent {
    std::uint64_t watch = 0;
    std::string error;
};

struct ProblemEvent {
    std::uint64_t watch = 0;
    std::string code;
    std::string message;
};

struct PongEvent {
    std::uint64_t sequence = 0;
};

struct GoodbyeEvent {
    std::string code;
    std::string text;
};

// A message this monitor does not know; newer servers may send such.
struct UnknownEvent {};

struct FeedEvent {
    WallTime serverTime;
    std::variant<HelloEvent, SnapshotEvent, DeltaEvent, JobEvent, LogEvent, WatchEndEvent, ProblemEvent,
                 PongEvent, GoodbyeEvent, UnknownEvent, ExplanationEvent>
        body;
};

} // namespace penstock::gui
