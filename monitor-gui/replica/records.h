// SPDX-License-Identifier: GPL-3.0-or-later
// What the monitor knows about a farm, as plain values: totals, queues, machines, jobs, steps and log pieces.
// Pure, callable from any thread. Bulk records are held by shared_ptr to const, so a copy of a table is a
// copy of pointers and "changed" is "another pointer".
#pragma once

#include "shared/base/clock.h"
#include "shared/base/ids.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace penstock::gui {

struct ReasonCount { // steps that do not run, by the code of their binding reason
    std::string code{};
    std::uint64_t steps = 0;
    friend bool operator==(const ReasonCount&, const ReasonCount&) = default;
};

// Nothing new starts, by an operator's word.
struct DispatchPause {
    std::string who{};
    std::string note{};
    std::optional<WallTime> since{};
    friend bool operator==(const DispatchPause&, const DispatchPause&) = default;
};

struct FarmTotals {
    std::uint64_t stepsBlocked = 0;
    std::uint64_t stepsReady = 0;
    std::uint64_t stepsRunning = 0;
    std::uint64_t stepsDelayed = 0;
    std::uint64_t jobsOpen = 0;
    std::uint64_t finishedOk = 0; // these four: attempts since the server started
    std::uint64_t finishedFailed = 0;
    std::uint64_t finishedCancelled = 0;
    std::uint64_t retries = 0;
    std::uint64_t slotsTotal = 0;
    std::uint64_t slotsUsed = 0;
    std::uint64_t machinesTotal = 0;
    std::uint64_t machinesConnected = 0;
    bool databaseOk = true;
    std::string databaseError{};
    std::uint64_t machinesDraining = 0;
    std::uint64_t machinesQuarantined = 0;
    std::vector<ReasonCount> waiting{}; // most first
    std::optional<DispatchPause> pause{};
    friend bool operator==(const FarmTotals&, const FarmTotals&) = default;
};

struct GroupCount { // ready steps of a share group
    std::string group{};
    std::uint64_t steps = 0;
    friend bool operator==(const GroupCount&, const GroupCount&) = default;
};

struct QueueRecord {
    std::string key{}; // "x86_64-linux+kvm"
    std::string system{};
    std::vector<std::string> features{};
    std::uint64_t queued = 0;
    std::uint64_t running = 0;
    std::uint64_t blocked = 0;
    std::optional<WallTime> oldestReady{};
    std::uint32_t eligibleMachines = 0;
    std::uint32_t freeSlots = 0;
    std::uint64_t delayed = 0;          // of queued: wait for a retry time
    std::vector<GroupCount> groups{};   // most first
    std::optional<StepId> oldestStep{}; // that oldestReady speaks of
    std::optional<JobId> oldestJob{};   // that wants it
    friend bool operator==(const QueueRecord&, const QueueRecord&) = default;
};

// One group that shares the farm with others.
struct ShareRecord {
    std::string group{};
    std::uint32_t shares = 0;
    Duration used{0};          // machine time in the window
    double usedPercent = 0;    // of all groups' use
    double targetPercent = 0;  // its shares, of the groups that have work
    std::uint64_t running = 0; // steps
    std::uint64_t queued = 0;
    friend bool operator==(const ShareRecord&, const ShareRecord&) = default;
};

enum class MachineState : std::uint8_t { Unknown, Ready, Draining, Disconnected, Quarantined };

struct RunningStep {
    AttemptId attempt;
    StepId step;
    JobId job;
    std::string name{};
    WallTime since;
    std::string phase{};
    friend bool operator==(const RunningStep&, const RunningStep&) = default;
};

// Percent of time over the last ten seconds in which some or all tasks waited (Linux PSI avg10).
struct Pressure {
    double cpuSome = 0;
    double memorySome = 0;
    double memoryFull = 0;
    double ioSome = 0;
    double ioFull = 0;
    friend bool operator==(const Pressure&, const Pressure&) = default;
};

// The gates of the scheduler for one machine; nothing starts there past one. 0: no gate.
struct Gates {
    double cpuSome = 0;
    double memoryFull = 0;
    double ioFull = 0;
    double load1 = 0;
    std::uint64_t diskFree = 0; // these three: nothing starts below
    std::uint64_t memoryFree = 0;
    std::uint64_t inodesFree = 0;
    std::vector<std::string> overridden{}; // by an operator: cpu_psi, mem_psi, io_psi, load1, disk, memory, inodes
    friend bool operator==(const Gates&, const Gates&) = default;
};

enum class HealthState : std::uint8_t { Unknown, Healthy, Quarantined, Probing, Parole };

struct Health {
    HealthState state = HealthState::Unknown;
    std::uint32_t failuresInRow = 0; // of different steps
    std::uint32_t quarantines = 0;   // in a row
    std::optional<WallTime> until{}; // while quarantined
    std::string reason{};            // the last failure
    friend bool operator==(const Health&, const Health&) = default;
};

struct NamedAmount { // gpu, licence, …
    std::string name{};
    std::uint64_t reserved = 0;
    std::uint64_t capacity = 0;
    friend bool operator==(const NamedAmount&, const NamedAmount&) = default;
};

struct CrossedGate {
    std::string gate{};
    double value = 0;
    double limit = 0;
    friend bool operator==(const CrossedGate&, const CrossedGate&) = default;
};

// What the scheduler thinks of a machine now.
struct Room {
    bool open = false;      // it would take another small step
    std::string closed{};   // why not, one sentence
    std::int64_t score = 0; // larger is chosen first
    std::uint32_t cpus = 0; // reserved by what runs
    std::uint32_t cpusCapacity = 0;
    std::uint64_t memoryBytes = 0;
    std::uint64_t memoryCapacityBytes = 0;
    std::vector<NamedAmount> named{};
    std::uint32_t foreignCpus = 0; // busy beyond what the farm's own steps are expected to use
    std::vector<CrossedGate> crossed{};
    friend bool operator==(const Room&, const Room&) = default;
};

struct MachineRecord {
    MachineId id;
    std::string name{};
    MachineState state = MachineState::Unknown;
    std::string note{};
    std::vector<std::string> systems{};
    std::vector<std::string> features{};
    std::vector<std::string> mandatoryFeatures{};
    std::vector<std::string> tags{};
    std::uint32_t slots = 0;
    std::uint32_t used = 0;
    std::uint32_t cores = 0;
    std::uint64_t memoryBytes = 0;
    std::uint64_t memoryAvailableBytes = 0;
    double load1 = 0;
    double cpuBusyPercent = 0;
    std::optional<Pressure> pressure{}; // none: the machine has no PSI
    Gates gates{};
    std::uint64_t diskFreeBytes = 0;
    std::uint64_t diskTotalBytes = 0;
    std::optional<WallTime> lastSeen{}; // on the server's clock
    std::string version{};
    std::uint64_t finished = 0;
    std::uint64_t failed = 0;
    std::vector<RunningStep> running{};
    std::vector<std::string> executors{};
    std::uint64_t diskFreeInodes = 0;
    std::string os{};
    Health health{};
    std::optional<Room> room{}; // none: the server does not say
    friend bool operator==(const MachineRecord&, const MachineRecord&) = default;
};

enum class JobState : std::uint8_t { Unknown, Queued, Running, Succeeded, Failed, Cancelled };

struct JobRecord {
    JobId id;
    std::string name{};
    std::string user{};
    std::string space{}; // the namespace
    JobState state = JobState::Unknown;
    std::int32_t priority = 0;
    std::optional<WallTime> created{};
    std::optional<WallTime> started{};
    std::optional<WallTime> finished{};
    std::uint32_t stepsTotal = 0;
    std::uint32_t stepsDone = 0;
    std::uint32_t stepsRunning = 0;
    std::uint32_t stepsFailed = 0;
    std::string result{};
    std::int32_t exitCode = 0;
    std::int32_t signal = 0;
    std::string error{};
    friend bool operator==(const JobRecord&, const JobRecord&) = default;
};

enum class StepState : std::uint8_t {
    Unknown,
    Blocked,
    Ready,
    Delayed,
    Running,
    Succeeded,
    Failed,
    Cancelled
};

struct StepOutput {
    std::string name{};
    std::string path{};
    friend bool operator==(const StepOutput&, const StepOutput&) = default;
};

struct StepRecord {
    StepId id;
    std::string name{};
    std::string drvPath{};
    StepState state = StepState::Unknown;
    std::string result{};
    std::optional<AttemptId> attempt{}; // the newest
    std::uint32_t attempts = 0;
    std::string machine{}; // of the newest attempt
    std::optional<WallTime> ready{};
    std::optional<WallTime> started{};
    std::optional<WallTime> finished{};
    std::string phase{};
    std::int32_t exitCode = 0;
    std::int32_t signal = 0;
    std::string error{};
    std::vector<StepId> dependsOn{};
    std::vector<StepOutput> outputs{};
    std::optional<StepId> failedDependency{};
    bool requested = false;
    std::uint64_t logBytes = 0;
    friend bool operator==(const StepRecord&, const StepRecord&) = default;
};

enum class LogStream : std::uint8_t { Out, Err, System };

struct LogPiece {
    WallTime time;
    LogStream stream = LogStream::Out;
    std::string bytes{};
    friend bool operator==(const LogPiece&, const LogPiece&) = default;
};

using QueuePtr = std::shared_ptr<const QueueRecord>;
using MachinePtr = std::shared_ptr<const MachineRecord>;
using SharePtr = std::shared_ptr<const ShareRecord>;
using JobPtr = std::shared_ptr<const JobRecord>;
using StepPtr = std::shared_ptr<const StepRecord>;

} // namespace penstock::gui
