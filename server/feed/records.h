// SPDX-License-Identifier: GPL-3.0-or-later
// The farm in the words people see it in: plain records that the feed numbers and sends and that HTTP renders.
// Whoever knows the core fills them in. Values, callable from any thread. Zero or empty means "none" unless said.
#pragma once

#include "server/work/changes.h"
#include "server/work/state.h"
#include "shared/base/clock.h"
#include "shared/base/ids.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace penstock::feed {

struct ReasonCount { // steps that do not run, by the code of their binding reason
    std::string code;
    std::uint64_t steps = 0;
    friend bool operator==(const ReasonCount&, const ReasonCount&) = default;
};

struct PauseEntry { // nothing new starts, by an operator's word
    std::string who;
    std::string note;
    WallTime since;
    friend bool operator==(const PauseEntry&, const PauseEntry&) = default;
};

struct FarmTotals {
    std::uint64_t stepsBlocked = 0;
    std::uint64_t stepsReady = 0;
    std::uint64_t stepsRunning = 0;
    std::uint64_t stepsDelayed = 0;
    std::uint64_t jobsOpen = 0;
    std::uint64_t finishedOk = 0; // attempts, since the server started; so the next three
    std::uint64_t finishedFailed = 0;
    std::uint64_t finishedCancelled = 0;
    std::uint64_t retries = 0;
    std::uint64_t slotsTotal = 0;
    std::uint64_t slotsUsed = 0;
    std::uint64_t machinesTotal = 0;
    std::uint64_t machinesConnected = 0;
    std::uint64_t machinesDraining = 0;
    bool databaseOk = true;
    std::string databaseError; // while not ok
    std::uint64_t machinesQuarantined = 0;
    std::vector<ReasonCount> waiting = {}; // most first
    std::optional<PauseEntry> pause = {};
    friend bool operator==(const FarmTotals&, const FarmTotals&) = default;
};

struct GroupCount { // ready steps of a share group
    std::string group;
    std::uint64_t steps = 0;
    friend bool operator==(const GroupCount&, const GroupCount&) = default;
};

struct QueueEntry {               // one per (system, required features)
    std::string key;              // stable, "x86_64-linux+kvm"
    std::string system;           // "any" for commands without a system
    std::vector<std::string> features;
    std::uint64_t queued = 0;     // ready, not running
    std::uint64_t running = 0;
    std::uint64_t blocked = 0;
    std::optional<WallTime> oldestReady;
    std::uint32_t eligibleMachines = 0; // connected and able
    std::uint32_t freeSlots = 0;
    std::uint64_t delayed = 0;               // of queued: wait for a retry time
    std::vector<GroupCount> groups = {};     // most first, at most 20
    std::optional<StepId> oldestStep = {};   // that oldestReady speaks of, and a job that wants it
    std::optional<JobId> oldestJob = {};
    friend bool operator==(const QueueEntry&, const QueueEntry&) = default;
};

struct ShareEntry { // one per share group with work or recent use
    std::string group;
    std::uint32_t shares = 0;
    Duration used{0};          // machine time in the window, finished and running
    double usedPercent = 0;    // of all groups' use
    double targetPercent = 0;  // its shares, of the groups that have work
    std::uint64_t running = 0; // steps
    std::uint64_t queued = 0;  // ready
    friend bool operator==(const ShareEntry&, const ShareEntry&) = default;
};

enum class MachineCondition : std::uint8_t { Ready, Draining, Disconnected, Quarantined };

struct RunningEntry {
    AttemptId attempt{0};
    StepId step{0};
    JobId job{0};
    std::string name;
    WallTime since;
    std::string phase;
    friend bool operator==(const RunningEntry&, const RunningEntry&) = default;
};

struct PressureEntry { // avg10, percent
    double cpuSome = 0;
    double memorySome = 0;
    double memoryFull = 0;
    double ioSome = 0;
    double ioFull = 0;
    friend bool operator==(const PressureEntry&, const PressureEntry&) = default;
};

struct ThresholdsEntry { // 0: not set
    double cpuPsi = 0;
    double memoryPsi = 0;
    double ioPsi = 0;
    double load1 = 0;
    std::uint64_t minFreeDiskBytes = 0;
    std::uint64_t minFreeMemoryBytes = 0;
    std::uint64_t minFreeInodes = 0;
    // Set by an operator: cpu_psi, mem_psi, io_psi, load1, disk, memory, inodes.
    std::vector<std::string> overridden = {};
    friend bool operator==(const ThresholdsEntry&, const ThresholdsEntry&) = default;
};

struct HealthEntry {
    work::HealthState state = work::HealthState::Healthy;
    std::uint32_t failuresInRow = 0; // of different steps
    std::uint32_t quarantines = 0;   // in a row
    std::optional<WallTime> until = {};
    std::string reason = {};         // the last failure
    friend bool operator==(const HealthEntry&, const HealthEntry&) = default;
};

struct NamedAmount { // gpu, licence, …
    std::string name;
    std::uint64_t reserved = 0;
    std::uint64_t capacity = 0;
    friend bool operator==(const NamedAmount&, const NamedAmount&) = default;
};

struct CrossedGate { // a threshold that is past
    std::string gate; // cpu_pressure, …
    double value = 0;
    double limit = 0;
    friend bool operator==(const CrossedGate&, const CrossedGate&) = default;
};

struct RoomEntry { // what the scheduler thinks of a machine now
    bool open = false;       // it would take another small step
    std::string closed = {}; // why not, one sentence
    std::int64_t score = 0;  // by the sort function: larger is chosen first
    std::uint32_t cpus = 0;  // reserved by what runs
    std::uint32_t cpusCapacity = 0;
    std::uint64_t memoryBytes = 0;
    std::uint64_t memoryCapacityBytes = 0;
    std::vector<NamedAmount> named = {};
    std::uint32_t foreignCpus = 0; // busy beyond what the farm's own steps are expected to use
    std::vector<CrossedGate> crossed = {};
    friend bool operator==(const RoomEntry&, const RoomEntry&) = default;
};

struct MachineEntry {
    MachineId id{0};
    std::string name;
    MachineCondition condition = MachineCondition::Disconnected;
    std::string note; // why it drains
    std::string os;
    std::vector<std::string> systems;
    std::vector<std::string> features;
    std::vector<std::string> mandatoryFeatures;
    std::vector<std::string> tags;
    std::vector<std::string> users;
    std::vector<std::string> executors;
    std::uint32_t slots = 0;
    std::uint32_t used = 0;
    std::uint32_t cores = 0;
    std::uint64_t memoryBytes = 0;
    std::uint64_t memoryAvailableBytes = 0;
    double load1 = 0;
    double cpuBusyPercent = 0;
    std::optional<PressureEntry> pressure;
    ThresholdsEntry thresholds;
    std::uint64_t diskFreeBytes = 0;
    std::uint64_t diskTotalBytes = 0;
    std::optional<WallTime> lastSeen; // last report
    std::string version;
    std::uint64_t finished = 0;       // attempts since the server started
    std::uint64_t failed = 0;
    std::vector<RunningEntry> running;
    std::uint64_t diskFreeInodes = 0; // 0: not told
    HealthEntry health = {};
    std::optional<RoomEntry> room = {};
    friend bool operator==(const MachineEntry&, const MachineEntry&) = default;
};

struct JobEntry {
    JobId id{0};
    std::string name;
    std::string user;
    std::string nameSpace;
    work::JobState state = work::JobState::Queued;
    std::int32_t priority = 0;
    WallTime created;
    std::optional<WallTime> started;
    std::optional<WallTime> finished;
    std::uint32_t stepsTotal = 0;
    std::uint32_t stepsDone = 0;
    std::uint32_t stepsRunning = 0;
    std::uint32_t stepsFailed = 0;
    std::optional<work::StepResult> result;
    std::int32_t exitCode = 0;
    std::int32_t signal = 0;
    std::string error;
    friend bool operator==(const JobEntry&, const JobEntry&) = default;
};

struct OutputEntry {
    std::string name;
    std::string path;
    friend bool operator==(const OutputEntry&, const OutputEntry&) = default;
};

struct StepEntry {
    StepId id{0};
    std::string name;
    std::string drvPath; // empty for commands
    work::StepState state = work::StepState::Blocked;
    std::optional<work::StepResult> result;
    std::optional<AttemptId> newestAttempt;
    std::uint32_t attempts = 0;
    std::string machine; // of the newest attempt, so the next four
    std::optional<WallTime> started;
    std::string phase;
    std::int32_t exitCode = 0;
    std::int32_t signal = 0;
    std::optional<WallTime> readySince;
    std::optional<WallTime> finished;
    std::string error;
    std::vector<StepId> dependsOn;
    std::optional<StepId> failedDependency;
    std::vector<OutputEntry> outputs;
    bool root = false; // of the job in question
    std::uint64_t logBytes = 0;
    friend bool operator==(const StepEntry&, const StepEntry&) = default;
};

// ------------------------------------------------------------------------------------------------------- logs

enum class LogStream : std::uint8_t { Out, Err, System };

struct LogPiece {
    std::uint64_t offset = 0; // of its first byte; offsets count data bytes only
    WallTime time;
    LogStream stream = LogStream::Out;
    std::string data; // any bytes
    friend bool operator==(const LogPiece&, const LogPiece&) = default;
};

struct LogSlice {
    std::uint64_t offset = 0; // where it begins: the one asked for
    std::vector<LogPiece> pieces;
    std::uint64_t next = 0;   // ask for this offset to go on
    std::uint64_t size = 0;   // bytes known now
    bool ended = false;       // the log is complete: nothing comes after size
    bool truncated = false;   // the builder left bytes out for a limit
    friend bool operator==(const LogSlice&, const LogSlice&) = default;
};

} // namespace penstock::feed
