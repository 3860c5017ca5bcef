// SPDX-License-Identifier: GPL-3.0-or-later
// HydraGateway: what the routes of Hydra's queue runner ask of the rest of the server, and the plain records that they
// show. Whoever knows the core and Hydra's database fills them in. Called on the HTTP loop; every answer is given on
// that loop too, exactly once, now or later; errors as in Gateway. A farm without a Hydra answers too: with no builds.
#pragma once

#include "server/http/metric.h"
#include "shared/base/clock.h"
#include "shared/base/result.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace penstock::http {

template <class T> using Answer = std::function<void(Result<T>)>;

// What intake and projection have counted since the start. Zero: nothing, or not known.
struct HydraCounters {
    std::uint64_t passesStarted = 0; // comparisons of the queue with what is loaded
    std::uint64_t passesFinished = 0;
    std::uint64_t passesCutShort = 0;
    std::uint64_t wakeups = 0; // notifications and timers that started one
    std::uint64_t buildsLoaded = 0; // handed to the farm
    std::uint64_t stepsLoaded = 0;
    std::uint64_t buildsRead = 0; // rows
    Duration readTime{0};
    Duration busyTime{0}; // of loading
    Duration idleTime{0}; // all the rest since the intake was started
    std::uint64_t buildsWaiting = 0; // found, not handed to the farm yet
    std::uint64_t cachedSuccesses = 0;
    std::uint64_t cachedFailures = 0;
    std::uint64_t aborted = 0; // their derivation is gone
    std::uint64_t substitutesStarted = 0;
    std::uint64_t substitutesFailed = 0;
    std::uint64_t substitutesSucceeded = 0;
    std::uint64_t connections = 0; // to the database, of the whole server
    Duration lastDiff{0};          // that finding what has changed took
    std::string lastError = {};
};

struct HydraTimes { // sums over attempts that ended
    std::uint64_t attempts = 0;
    Duration total{0};
    Duration import{0};
    Duration build{0};
    Duration upload{0};
};

struct HydraPressure { // percent, and microseconds in all
    double avg10 = 0;
    double avg60 = 0;
    double avg300 = 0;
    std::uint64_t total = 0;
};
struct HydraPressures {
    HydraPressure cpuSome;
    HydraPressure memSome;
    HydraPressure memFull;
    HydraPressure ioSome;
    HydraPressure ioFull;
};

struct HydraMachine {
    std::string key; // the name that buildsteps.machine has; unlike for each
    std::string name;
    std::vector<std::string> systems = {};
    std::vector<std::string> supportedFeatures = {};
    std::vector<std::string> mandatoryFeatures = {};
    std::vector<std::string> jobs = {}; // base names of derivations; names of commands
    std::string nixVersion = {};
    Duration uptime{0}; // of its connection
    std::uint32_t cores = 0;
    double bogomips = 0;
    double speedFactor = 1;
    std::uint32_t maxJobs = 0;
    double buildDirThreshold = 0; // percent free; 0: none
    double storeThreshold = 0;
    double load1Threshold = 0;
    double cpuThreshold = 0;
    double memThreshold = 0;
    std::optional<double> ioThreshold = {};
    std::int64_t score = 0;
    std::uint64_t memoryBytes = 0;
    std::uint64_t memoryUsed = 0;
    bool hasRoom = false;
    bool hasSlots = false;
    bool isCalm = false; // connected, and below its thresholds
    std::uint64_t finished = 0;
    std::uint64_t failed = 0;
    HydraTimes times = {};
    std::optional<WallTime> idleSince = {};
    std::optional<WallTime> lastFailure = {};
    std::optional<WallTime> disabledUntil = {};
    std::uint32_t failuresInRow = 0;
    std::optional<WallTime> lastSeen = {};
    Duration sinceLastSeen{0};
    double load1 = 0;
    double load5 = 0;
    double load15 = 0;
    std::optional<HydraPressures> pressure = {};
    double buildDirFree = 0; // percent
    double storeFree = 0;
    std::uint32_t uploading = 0; // attempts
    std::uint32_t fetching = 0;
};

struct HydraJobset {
    std::int64_t id = 0; // 0: not known
    std::string project;
    std::string name;
    Duration used{0}; // within the share window
    std::uint32_t shares = 0;
};

struct HydraQueue { // of one system
    std::uint64_t running = 0;
    std::uint64_t ready = 0;
    std::uint64_t delayed = 0; // by a retry's back-off
    Duration oldestWait{0};
};

struct HydraFarm { // the numbers of the whole
    WallTime now;
    Duration uptime{0};
    std::vector<std::string> features; // of all machines
    std::uint64_t machines = 0;        // connected
    std::uint64_t machinesInUse = 0;
    std::uint64_t buildsOpen = 0;
    std::uint64_t buildsUnfinished = 0; // also those that are not handed to the farm yet
    std::uint64_t jobsets = 0;
    std::uint64_t stepsBlocked = 0;
    std::uint64_t stepsReady = 0;
    std::uint64_t stepsDelayed = 0;
    std::uint64_t stepsRunning = 0;
    std::uint64_t stepsUnsupported = 0;
    std::uint64_t unsupportedEnded = 0;
    std::uint64_t stepsStarted = 0; // attempts
    std::uint64_t stepsDone = 0;    // attempts that ran to an end
    std::uint64_t stepsCancelled = 0; // attempts
    std::uint64_t retries = 0;
    std::uint64_t mostRetries = 0;
    std::uint64_t buildsDone = 0;
    std::uint64_t buildsSucceeded = 0;
    std::uint64_t buildsFailed = 0;
    HydraTimes times;
    std::uint64_t dispatches = 0;
    Duration dispatchTime{0};
    std::uint64_t uploadsWaiting = 0;
    std::map<std::string, HydraQueue> queues; // by system
    HydraCounters counters;
};

// Rendered once and shown to many: 5,000 machines are megabytes of text.
using HydraText = std::shared_ptr<const std::string>;
struct HydraStatus {
    HydraFarm farm;
    HydraText machines; // a JSON object, machines by key
    std::vector<HydraJobset> jobsets;
};
struct HydraMachines {
    HydraText machines;
    std::size_t count = 0;
};

// Lists are pages: ascending by id, those after a given one.
struct HydraPage {
    std::uint64_t after = 0;
    std::uint32_t limit = 1'000;
};
template <class T> struct HydraList {
    std::vector<T> items;
    std::uint64_t total = 0;             // all that there are
    bool isTotalLeast = false;           // they were not counted to their end
    std::optional<std::uint64_t> next{}; // more come after this one
};

struct HydraBuild {
    std::uint64_t id = 0;
    std::string drvPath;
    std::int64_t jobsetId = 0;
    std::string name; // the job's
    std::int64_t timestamp = 0;
    std::optional<std::int64_t> maxSilent;
    std::optional<std::int64_t> timeout;
    std::int64_t localPriority = 0;
    std::int64_t globalPriority = 0;
};

enum class HydraSteps : std::uint8_t { Live, Runnable, Queued, Scheduled };
struct HydraStep {
    std::uint64_t id = 0;
    std::string drvPath; // or the command's name
    std::string system;
    bool isRunnable = false;
    bool isScheduled = false;
    bool hasFailed = false; // and is tried again
    WallTime created;
    std::optional<WallTime> runnableSince = {};
    std::uint32_t tries = 0;
    std::size_t dependencies = 0;
    // Of the builds that have it as their own; nothing: only what depends on it is asked for.
    std::optional<std::int64_t> globalPriority = {};
    std::optional<std::int64_t> localPriority = {};
    std::optional<std::uint64_t> lowestBuild = {};
};

struct HydraGateway {
    virtual ~HydraGateway() = default;

    virtual void status(Answer<HydraStatus> answer) = 0;
    virtual void machines(Answer<HydraMachines> answer) = 0;
    virtual void jobsets(Answer<std::vector<HydraJobset>> answer) = 0;
    virtual void builds(HydraPage page, Answer<HydraList<HydraBuild>> answer) = 0;
    virtual void steps(HydraSteps which, HydraPage page, Answer<HydraList<HydraStep>> answer) = 0;
    virtual void uploads(std::uint32_t limit, Answer<HydraList<std::string>> answer) = 0;
    // Whether the build is not finished yet; no for one that is not there.
    virtual void isActive(std::uint64_t build, Answer<bool> answer) = 0;

    // NotFound without a Hydra, with the reason.
    virtual void addBuild(std::int64_t jobset, std::string drv, Answer<void> answer) = 0;
    virtual void loadBuild(std::uint64_t build, Answer<void> answer) = 0;
};

} // namespace penstock::http
