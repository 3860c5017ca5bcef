// SPDX-License-Identifier: GPL-3.0-or-later
// Changes: what one batch of the core did to the durable truth, in domain words. The core produces it, every Store
// writes it as one transaction, and Recovery is the inverse: the rows from which a core is rebuilt.
// Pure values. Every update carries the whole mutable part of its row, so that applying one twice is harmless.
#pragma once

#include "server/work/results.h"
#include "server/work/spec.h"
#include "server/work/state.h"
#include "shared/base/ids.h"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace penstock::work {

// ------------------------------------------------------------------------------------------------------- jobs

struct JobProgress { // the mutable part of a job's row
    JobState state = JobState::Queued;
    std::optional<WallTime> started;
    std::optional<WallTime> finished;
    std::optional<StepResult> result; // of the job, when finished: the worst root's
    std::int32_t exitCode = 0;        // of a command job
    std::int32_t signal = 0;
    std::string error;                // one sentence for people
    std::optional<WallTime> bumped = {}; // by an operator: before everything that is not; the newest bump first
    bool held = false;                // by a person: none of its steps starts for it
    std::string holdNote = {};        // who and why
    friend bool operator==(const JobProgress&, const JobProgress&) = default;
};

struct JobRow {
    JobId id;
    JobSpec spec;
    WallTime created;
    JobProgress progress;
    std::uint32_t stepsTotal = 0;
};

struct JobUpdate {
    JobId id;
    JobProgress progress;
};

// A job needs a step. root: asked for by name, not only as a dependency.
struct JobStepRow {
    JobId job;
    StepId step;
    bool root = false;
};

// ------------------------------------------------------------------------------------------------------ steps

struct OutputFact {
    std::string name;
    std::string path;
    std::string narHash;
    std::uint64_t narSize = 0;
    friend bool operator==(const OutputFact&, const OutputFact&) = default;
};

struct StepProgress { // the mutable part of a step's row
    StepState state = StepState::Blocked;
    std::optional<StepResult> result;
    std::uint32_t attempts = 0;        // made so far, of any end
    std::uint32_t failures = 0;        // ends charged to the step (RetryPolicy)
    std::uint32_t infrastructureFailures = 0;
    std::optional<WallTime> readySince;
    std::optional<WallTime> retryAt;   // when Delayed
    std::optional<WallTime> finished;
    std::optional<StepId> failedDependency;
    std::vector<MachineId> avoid;      // machines that failed it, oldest first, at most 16
    std::string error;
    std::uint32_t losses = 0;          // attempts whose machine went away: free, but bounded (FarmLimits)
    std::vector<OutputFact> revealed;  // once it has ended well: outputs whose paths nobody could tell before
    friend bool operator==(const StepProgress&, const StepProgress&) = default;
};

struct StepRow {
    StepId id;
    StepSpec spec;
    WallTime created;
    StepProgress progress;
};

struct StepUpdate {
    StepId id;
    StepProgress progress;
};

struct DependencyRow {
    StepId step;
    StepId dependsOn;
};

// --------------------------------------------------------------------------------------------------- attempts

struct AttemptProgress { // the mutable part of an attempt's row
    AttemptState state = AttemptState::Assigned;
    std::optional<AttemptEnd> end;
    std::optional<WallTime> started;  // by the machine's clock
    std::optional<WallTime> stopped;
    std::int32_t exitCode = 0;
    std::int32_t signal = 0;
    bool coreDumped = false;
    std::string error;
    Duration cpuUser{0};
    Duration cpuSystem{0};
    std::uint64_t maxRssBytes = 0;
    std::uint64_t logBytes = 0;
    bool logTruncated = false;
    std::vector<OutputFact> outputs;
    SharedResults results; // when it ended well; else the effort alone
    friend bool operator==(const AttemptProgress&, const AttemptProgress&) = default;
};

struct AttemptRow {
    AttemptId id;
    StepId step;
    JobId job;       // one that wanted it, for people
    MachineId machine;
    std::uint32_t number = 1; // of the step, from 1
    WallTime created;
    AttemptProgress progress;
};

struct AttemptUpdate {
    AttemptId id;
    AttemptProgress progress;
};

// --------------------------------------------------------------------------------------------------- machines

// An operator's word against the builder's own thresholds. Nothing: the builder's counts; 0: no limit.
struct ThresholdOverrides {
    std::optional<double> cpuPsi;
    std::optional<double> memoryPsi;
    std::optional<double> ioPsi;
    std::optional<double> load1;
    std::optional<std::uint64_t> minFreeDiskBytes;
    std::optional<std::uint64_t> minFreeMemoryBytes;
    std::optional<std::uint64_t> minFreeInodes;
    friend bool operator==(const ThresholdOverrides&, const ThresholdOverrides&) = default;
};

enum class HealthState : std::uint8_t { Healthy, Quarantined, Probing, Parole }; // table in work/health.h

struct MachineHealth {
    HealthState state = HealthState::Healthy;
    std::uint32_t failuresInRow = 0; // infrastructure failures of different steps
    std::uint32_t quarantines = 0;   // in a row: sets the back-off
    std::optional<WallTime> until;   // while Quarantined
    std::string reason;              // the last failure, for people
    friend bool operator==(const MachineHealth&, const MachineHealth&) = default;
};

struct MachineRow { // upserted
    MachineId id;
    std::string identity;   // 32 hex digits, unique
    std::string credential; // what the identity is bound to: a token's id, or "local"
    std::string name;
    bool drained = false;   // by an operator; outlives restarts
    std::string drainNote;
    WallTime firstSeen;
    WallTime lastSeen;      // while connected: to an hour
    ThresholdOverrides overrides = {};
    MachineHealth health = {};
};

// ----------------------------------------------------------------------------------------------------- sharing

// Who competes for the farm: a Hydra jobset, a namespace. Upserted; one that has no row has kDefaultShares.
inline constexpr std::uint32_t kDefaultShares = 100;
struct ShareGroupRow {
    std::string name;
    std::uint32_t shares = kDefaultShares; // positive
};

// Limits of a namespace. Upserted; zero = none.
struct NamespaceRow {
    std::string name;
    std::uint32_t maxRunningSteps = 0;
    std::uint32_t maxQueuedJobs = 0; // open jobs
    std::uint32_t maxCpus = 0;       // of running steps
    friend bool operator==(const NamespaceRow&, const NamespaceRow&) = default;
};

// Machine time that a share group has used in one span of kUsageBucket. Upserted with the whole amount.
inline constexpr Duration kUsageBucket = std::chrono::minutes(1);
struct UsageRow {
    std::string group;
    WallTime bucket; // its beginning, a multiple of kUsageBucket
    Duration used{0};
};

// What is known of steps of one name (sched/history.h). Upserted.
struct HistoryRow {
    std::string name;
    std::uint32_t runs = 0;
    Duration duration{0};          // expected
    std::uint64_t memoryBytes = 0; // expected peak
    std::uint32_t milliCpus = 0;   // expected, in thousandths of a cpu
    WallTime lastRun;
    friend bool operator==(const HistoryRow&, const HistoryRow&) = default;
};

// Nothing new starts on the farm, by an operator's word.
struct DispatchPause {
    bool paused = false;
    std::string who;
    std::string note;
    WallTime since;
    friend bool operator==(const DispatchPause&, const DispatchPause&) = default;
};

// ---------------------------------------------------------------------------------------------------- batches

// The highest ids given out so far; ids are never used again, so these are stored with every batch that moved them.
struct IdMarks {
    std::uint64_t job = 0;
    std::uint64_t step = 0;
    std::uint64_t attempt = 0;
    std::uint64_t machine = 0;
    friend bool operator==(const IdMarks&, const IdMarks&) = default;
};

struct Changes {
    std::vector<MachineRow> machines;
    std::vector<JobRow> newJobs;
    std::vector<StepRow> newSteps;
    std::vector<DependencyRow> dependencies;
    std::vector<JobStepRow> jobSteps;
    std::vector<AttemptRow> newAttempts;
    // At most one update per id in one batch: the last wins and the core folds earlier ones into it.
    std::vector<StepUpdate> steps;
    std::vector<AttemptUpdate> attempts;
    std::vector<JobUpdate> jobs;
    // Upserts: at most one per key in one batch.
    std::vector<ShareGroupRow> shareGroups;
    std::vector<NamespaceRow> namespaces;
    std::vector<UsageRow> usage;
    std::vector<HistoryRow> history;
    std::optional<DispatchPause> pause;
    std::vector<MachineId> removedMachines; // rows that go; their attempts' rows stay

    [[nodiscard]] bool isEmpty() const
    {
        return machines.empty() && newJobs.empty() && newSteps.empty() && dependencies.empty() &&
               jobSteps.empty() && newAttempts.empty() && steps.empty() && attempts.empty() && jobs.empty() &&
               shareGroups.empty() && namespaces.empty() && usage.empty() && history.empty() && !pause &&
               removedMachines.empty();
    }
};

// Everything unfinished, from which a core is rebuilt: open jobs and all steps those list (finished ones too); all
// steps that have no result, whether a job lists them or not; attempts that have not ended, and their steps; of all
// these the dependencies; of the steps that those without a result depend on also such as ended otherwise than well, or
// have revealed paths (any other that is not here has ended well); all machines.
struct Recovery {
    std::vector<MachineRow> machines;
    std::vector<JobRow> jobs;
    std::vector<StepRow> steps;
    std::vector<DependencyRow> dependencies;
    std::vector<JobStepRow> jobSteps;
    std::vector<AttemptRow> attempts;
    IdMarks marks;
    // Idempotency keys still remembered: (namespace, key) to job.
    std::vector<std::pair<std::pair<std::string, std::string>, JobId>> keys;
    std::vector<ShareGroupRow> shareGroups;
    std::vector<NamespaceRow> namespaces;
    std::vector<UsageRow> usage;      // of the last 24 hours
    std::vector<HistoryRow> history;  // the most recently used, at most kHistoryKept
    DispatchPause pause;
};
inline constexpr std::size_t kHistoryKept = 100'000; // names; the store may delete older ones

// One finished job with the steps it lists, to be opened again by a person. Of its dependencies on other steps only
// those on such as have not ended well, and on such as have revealed paths; the latter come along where they will be
// asked.
struct StoredJob {
    JobRow job;
    std::vector<StepRow> steps;
    std::vector<DependencyRow> dependencies;
    std::vector<JobStepRow> jobSteps;
};

} // namespace penstock::work
