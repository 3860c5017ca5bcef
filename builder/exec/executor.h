// SPDX-License-Identifier: GPL-3.0-or-later
// Executor: one way of running a step. The consumer's side of the interface: attempt_runner owns the running thing,
// receives its events, and looks after limits, log and folder; an executor only runs and stops. Everything happens
// on the exec loop and nothing blocks it.
#pragma once

#include "shared/base/clock.h"
#include "shared/protocol/link_values.h"

#include <memory>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

namespace penstock::builder {

struct AttemptSpec {
    protocol::Assignment assignment;
    std::string machineName; // PENSTOCK_MACHINE
    std::string folder;      // the attempt's own directory: exists, empty
    std::string temporary;   // TMPDIR: exists, empty
};

// The exit as the executor saw it; the runner adds times, log length, and what it knows better (a timeout).
struct AttemptExit {
    protocol::Outcome outcome = protocol::Outcome::Infrastructure;
    std::int32_t exitCode = 0;
    std::int32_t signal = 0;
    bool coreDumped = false;
    std::string error;
    Duration cpuUser{0};
    Duration cpuSystem{0};
    std::uint64_t maxRssBytes = 0;
    std::vector<protocol::NixOutput> outputs;
    bool cached = false;
    std::uint32_t nixStatus = 0;
    bool isFinal = false; // of Outcome::Infrastructure: no other try would end otherwise
    protocol::NixResults results = {};
    protocol::BuildEffort effort = {};
    std::vector<std::string> notes = {}; // lines for the log, in Penstock's name
};

// Called on the exec loop. The views are valid during the call only.
struct AttemptSink {
    virtual ~AttemptSink() = default;
    virtual void onOutput(protocol::Stream stream, std::string_view bytes) = 0;
    virtual void onPhase(std::string phase) = 0; // the words are in proto/README.md
    // The limits of time count from now on, or no longer: a build is not to blame for how long its inputs travel.
    // They count from the start unless said otherwise.
    virtual void onClock(bool /*isRunning*/) {}
    // Last call, exactly once, never from within start(). The Running may be destroyed in it.
    virtual void onExit(AttemptExit exit) = 0;
};

// Destroying it before onExit kills at once whatever still runs.
struct Running {
    virtual ~Running() = default;
    // Ends it: politely, and by force after the grace. Zero: by force now. May be repeated with less grace.
    virtual void stop(Duration grace) = 0;
    // False: take no more output for now (the log is behind); the job waits when its pipe is full.
    virtual void setReading(bool reading) = 0;
    // The session of its processes, for cleaning up after a crash of this program; 0 when it has none.
    [[nodiscard]] virtual pid_t session() const = 0;
};

struct Executor {
    virtual ~Executor() = default;
    [[nodiscard]] virtual std::string_view name() const = 0; // as in MachineFacts.executors
    // Every failure is reported by onExit, so that there is one way only.
    [[nodiscard]] virtual std::unique_ptr<Running> start(const AttemptSpec& spec, AttemptSink& sink) = 0;
};

} // namespace penstock::builder
