// SPDX-License-Identifier: GPL-3.0-or-later
// What HTTP shows of the scheduler, as plain records: the core's own words, which this layer does not see. Whoever
// knows the core fills them in whole. Values, callable from any thread.
#pragma once

#include "server/feed/records.h"
#include "server/work/changes.h"
#include "shared/protocol/link_values.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace penstock::http {

// ---------------------------------------------------------------------------------------------- explanations

struct Reason {
    std::string code; // stable: slots-full, missing-feature, …
    std::string text; // one sentence, with the numbers
    std::map<std::string, double> numbers = {};
    std::string remedy = {};             // may be empty
    std::vector<std::string> names = {}; // machines, steps or groups that it is about
};

struct Removed {
    std::string machine;
    std::string why;
};

struct FunnelStage {
    std::string stage;
    std::uint32_t left = 0;         // machines after it
    std::uint32_t removedCount = 0; // by it
    std::vector<Removed> removed;   // the first few of those
};

struct StepExplanation {
    StepId step{0};
    std::string name;
    work::StepState state = work::StepState::Blocked;
    std::vector<Reason> reasons; // the binding one first
    std::vector<FunnelStage> funnel = {};
    std::string change = {}; // what would start it; may be empty
    std::optional<WallTime> earliest = {}; // expected start
    std::optional<WallTime> latest = {};
};

struct JobExplanation {
    JobId job{0};
    work::JobState state = work::JobState::Queued;
    WallTime evaluated = {};
    std::vector<StepExplanation> steps = {}; // unfinished ones
    std::size_t more = 0;                    // that were left out, at least
    std::optional<work::JobProgress> ended = {}; // of a finished job, which has no unfinished steps
};

// -------------------------------------------------------------------------------------------------- machines

struct Closed { // why a machine would not take another small step now
    std::string code; // disconnected, draining, quarantined, gated-cpu, …, slots-full, resources-full,
                      // settling (what was just started does not show in its load yet), machine-reserved
    std::string text;
};

struct MachineView {
    feed::MachineEntry entry;
    protocol::Thresholds thresholds = {}; // in force; 0: none
    work::ThresholdOverrides overrides = {};
    std::vector<std::string> over = {}; // thresholds that it is above now, with numbers
    work::MachineHealth health = {};
    work::Resources capacity = {};
    work::Resources reserved = {};
    std::uint32_t foreignCpus = 0;
    std::optional<Closed> closed = {}; // nothing: open
    std::int64_t score = 0;            // larger is chosen first
};

// A member that is not there stays as it is; there without a value: what the builder says counts again.
template <class T> using Override = std::optional<std::optional<T>>;
struct ThresholdChange {
    Override<double> cpuPsi = {};
    Override<double> memoryPsi = {};
    Override<double> ioPsi = {};
    Override<double> load1 = {};
    Override<std::uint64_t> minFreeDiskBytes = {};
    Override<std::uint64_t> minFreeMemoryBytes = {};
    Override<std::uint64_t> minFreeInodes = {};

    void applyTo(work::ThresholdOverrides& overrides) const;
};

// -------------------------------------------------------------------------------- queues, shares, namespaces

struct QueueView { // one per (system, required features)
    std::string key;
    std::string system;
    std::vector<std::string> features;
    std::uint64_t queued = 0; // ready
    std::uint64_t delayed = 0;
    std::uint64_t running = 0;
    std::uint64_t blocked = 0;
    std::optional<WallTime> oldestReady;
    std::uint32_t eligibleMachines = 0;
    std::uint32_t freeSlots = 0;
    std::map<std::string, std::uint64_t> queuedByGroup; // the fullest share groups
};

struct ShareView {
    std::string group;
    std::uint32_t shares = work::kDefaultShares;
    Duration used{0};
    double usedPercent = 0;
    double targetPercent = 0;
    std::uint64_t running = 0;
    std::uint64_t queued = 0;
};

struct NamespaceView {
    work::NamespaceRow limits;
    std::uint64_t openJobs = 0;
    std::uint64_t runningSteps = 0;
    std::uint64_t runningCpus = 0;
};

struct NamespaceChange { // what is not there stays as it is; 0: no limit
    std::string name;
    std::optional<std::uint32_t> maxRunningSteps = {};
    std::optional<std::uint32_t> maxQueuedJobs = {};
    std::optional<std::uint32_t> maxCpus = {};

    void applyTo(work::NamespaceRow& row) const;
};

// ---------------------------------------------------------------------------------------------------- status

struct OutputsView {
    std::vector<std::string> stores = {};     // the first is the one whose presence counts
    std::vector<std::string> publicKeys = {}; // NAME:BASE64, of what they are signed with
};

struct StatusView {
    std::string version;
    std::string serverName;
    std::vector<std::string> problems; // none: healthy
    bool databaseEmbedded = true;
    Duration uptime{0};
    std::vector<std::string> listen;
    std::string auth; // local, tokens
    feed::FarmTotals totals;
    std::uint64_t machinesQuarantined = 0;
    std::map<std::string, std::uint64_t> waiting = {}; // unfinished steps that do not run, by reason code
    work::DispatchPause pause = {};
    OutputsView outputs = {};
};

} // namespace penstock::http
