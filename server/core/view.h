// SPDX-License-Identifier: GPL-3.0-or-later
// What the core tells about itself: plain records for the feed, HTTP and metrics. Values; a zero or empty field means
// "none" unless said.
#pragma once

#include "server/sched/gate.h"
#include "server/work/changes.h"
#include "server/work/spec.h"
#include "shared/protocol/link_values.h"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace penstock::core {

struct JobView {
    JobId id{0};
    std::string name;
    std::string user;
    std::string nameSpace;
    std::string shareGroup;
    std::int32_t priority = 0;
    std::string key;
    WallTime created;
    work::JobProgress progress; // result is set early, as cancelled, while a cancelled job still has running attempts
    std::uint32_t stepsTotal = 0;
    std::uint32_t stepsDone = 0; // succeeded or cached
    std::uint32_t stepsRunning = 0;
    std::uint32_t stepsFailed = 0; // finished otherwise, cancelled apart
    std::string concurrencyGroup = {};
};

struct AttemptView {
    AttemptId id{0};
    StepId step{0};
    JobId job{0};
    MachineId machine{0};
    std::string machineName;
    std::uint32_t number = 1;
    WallTime created;
    work::AttemptProgress progress;
    std::string phase;
};

struct LiveWork { // of an attempt that is not over
    MachineId machine{0};
    StepId step{0};
    work::Work work; // of a derivation without its text and its input paths
    std::vector<protocol::ResolvedInput> resolved; // as its assignment says
};

struct StepView {
    StepId id{0};
    std::string name;
    std::string drvPath; // empty for commands
    work::StepProgress progress;
    WallTime created;
    std::vector<StepId> dependsOn;
    bool root = false;                  // of the job in question
    std::optional<AttemptView> newest;  // attempt, when it was made since the server started or is live
    std::vector<work::NixOutput> outputs = {}; // of a step that has ended well and has no newest: known paths
};

// What attempts took that ended since the server started, those apart that never ran to an end (lost, rejected).
struct AttemptTimes {
    std::uint64_t attempts = 0;
    Duration total{0};    // from being given out to the end
    Duration fetching{0}; // of that, until it was being built
    Duration building{0};
    Duration sending{0};  // its outputs
};

enum class MachineCondition : std::uint8_t { Ready, Draining, Disconnected, Quarantined };

struct LiveStep { // of a list of unfinished ones
    StepId id{0};
    std::string name;    // its derivation's path, else its own name
    std::string system;
    work::StepState state = work::StepState::Blocked;
    WallTime created;
    std::optional<WallTime> readySince;
    std::uint32_t attempts = 0;
    std::uint32_t failures = 0; // charged to it or to the farm
    std::size_t dependencies = 0;
    std::optional<std::int32_t> priority; // the highest of the open jobs that claim it
};

struct LiveSteps { // a part of such a list
    std::vector<LiveStep> steps;
    std::optional<StepId> next; // where to look on; nothing: all were looked at
};

struct MachineView {
    MachineId id{0};
    std::string identity;
    MachineCondition condition = MachineCondition::Disconnected;
    std::string note;             // why it drains
    protocol::MachineFacts facts; // of the last connection; only the name when there was none since the start
    std::optional<protocol::LoadSample> load;
    std::vector<sched::OverThreshold> over; // thresholds it is above now
    std::uint32_t used = 0;                 // slots
    protocol::Thresholds thresholds = {};        // in force: the builder's, with the operator's overrides
    work::ThresholdOverrides overrides = {};
    work::MachineHealth health = {};
    work::Resources capacity = {}; // what may be reserved in all
    work::Resources reserved = {}; // by what runs
    std::uint32_t foreignCpus = 0; // busy beyond what ours are expected to use
    bool hasRoom = false;     // it would take another small step now
    std::string closedCode = {}; // of explain.h, or disconnected, quarantined, draining; empty when it would
    std::string closed = {};       // why not, one sentence; empty when it would
    std::int64_t score = 0;   // by the sort function, larger is chosen first
    std::optional<WallTime> lastSeen;       // last report, else last connection
    std::string version;
    std::uint64_t finished = 0; // attempts since the server started
    std::uint64_t failed = 0;   // of those; not the cancelled ones
    std::vector<AttemptView> running;
    std::vector<std::string> runningNames; // step names, same order
    std::vector<std::string> runningKeys = {};  // their derivations' paths, same order; empty for commands
    AttemptTimes times = {};
    std::optional<WallTime> connected = {};     // since when; nothing: it is not
    std::optional<WallTime> idleSince = {};     // nothing while it runs something, or never did
    std::optional<WallTime> lastFailure = {};   // of an attempt, since the server started
};

struct QueueView { // one per (system, features)
    std::string key; // "x86_64-linux+kvm"
    std::string system;
    std::vector<std::string> features;
    std::uint64_t queued = 0; // ready
    std::uint64_t delayed = 0;
    std::uint64_t running = 0;
    std::uint64_t blocked = 0;
    std::optional<WallTime> oldestReady;
    std::uint32_t eligibleMachines = 0; // connected, able and not draining
    std::uint32_t freeSlots = 0;
    std::optional<StepId> oldestStep = {}; // that oldestReady speaks of, and a job that wants it
    std::optional<JobId> oldestJob = {};
    std::map<std::string, std::uint64_t> queuedByGroup; // share group to ready steps; at most 20, the fullest
};

struct ShareView { // one per share group with work or recent use, by name
    std::string group;
    std::uint32_t shares = work::kDefaultShares;
    Duration used{0};          // machine time in the window, finished and running
    double usedPercent = 0;    // of all groups' use
    double targetPercent = 0;  // its shares, of the groups that have work
    std::uint64_t running = 0; // steps
    std::uint64_t queued = 0;  // ready
};

struct NamespaceView { // one per namespace with limits or open jobs, by name
    work::NamespaceRow limits;
    std::uint64_t openJobs = 0;
    std::uint64_t runningSteps = 0;
    std::uint64_t runningCpus = 0;
};

struct Totals {
    std::uint64_t stepsBlocked = 0;
    std::uint64_t stepsReady = 0;
    std::uint64_t stepsRunning = 0;
    std::uint64_t stepsDelayed = 0;
    std::uint64_t jobsOpen = 0;
    std::uint64_t slotsTotal = 0;
    std::uint64_t slotsUsed = 0;
    std::uint64_t machinesTotal = 0;
    std::uint64_t machinesConnected = 0;
    std::uint64_t machinesDraining = 0;
    bool databaseOk = true;
    std::string databaseError;
    std::uint64_t unconfirmedBatches = 0;
    std::uint64_t machinesQuarantined = 0;
    // Unfinished steps that do not run, by their binding reason's code. While very many queues wait for machines, what
    // those wait for is of the last second.
    std::map<std::string, std::uint64_t> waiting;
    std::uint64_t looked = 0; // leaves of the planner that were looked at for it: what it cost
    work::DispatchPause pause;
};

// How long steps could run and waited for a machine, by what Hydra's operators look at.
inline constexpr std::array<Duration, 8> kWaitBounds{
    std::chrono::seconds(1),  std::chrono::seconds(10), std::chrono::minutes(1), std::chrono::minutes(5),
    std::chrono::minutes(15), std::chrono::hours(1),    std::chrono::hours(2),   std::chrono::hours(24)};
struct WaitTimes {
    std::array<std::uint64_t, kWaitBounds.size()> upTo{}; // each that waited no longer than the bound
    std::uint64_t count = 0;
    Duration sum{0};
};
inline constexpr std::size_t kMaxWaitSystems = 100; // those that come later are summed up as kOtherSystems
inline constexpr const char* kOtherSystems = "(others)";

struct Counters { // since the server started
    std::uint64_t jobsSubmitted = 0;
    std::uint64_t jobsFinished = 0;
    std::uint64_t stepsFinished = 0;
    std::uint64_t stepsThereAlready = 0; // of these: submitted as cached, so never tried
    std::uint64_t stepsUnwanted = 0;     // likewise: of no job, and cancelled when nothing needed them any more
    std::uint64_t attemptsStarted = 0;
    std::uint64_t finishedOk = 0; // attempts
    std::uint64_t finishedFailed = 0;
    std::uint64_t finishedCancelled = 0;
    std::uint64_t rejected = 0;
    std::uint64_t lost = 0;
    std::uint64_t retries = 0;
    std::uint64_t fenced = 0;        // messages about attempts that were over
    std::uint64_t refused = 0;       // messages about another machine's attempts
    std::uint64_t adopted = 0;       // attempts that went on over a break
    std::uint64_t connectionsRefused = 0; // wrong credential, identity in use, too many machines
    std::uint64_t planVisits = 0;
    std::uint64_t plansCutShort = 0;
    std::uint64_t quarantines = 0;
    std::uint64_t probes = 0;
    std::uint64_t reservations = 0; // machines kept free for a step that needs much
    std::uint64_t promotions = 0;   // steps moved up because they had waited long
    std::uint64_t jobsSucceeded = 0; // of those that finished
    std::uint64_t jobsFailed = 0;
    std::uint64_t unsupported = 0;   // steps that ended as no machine could run them
    std::uint64_t mostAttempts = 0;  // of one step
    AttemptTimes times;
    std::map<std::string, WaitTimes> waits; // by system, of every attempt that started
    std::uint64_t asksRaised = 0;   // steps chosen, and queued anew because such have turned out to use more
};

} // namespace penstock::core
