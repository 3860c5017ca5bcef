// SPDX-License-Identifier: GPL-3.0-or-later
// The builder link in domain words: what builder and server say to each other, as plain values. Mirrors
// proto/link.proto, where the meaning of every field is written; generated types never leave envelope.cpp.
// Values that came out of envelope are valid: ids positive, texts within their limits, enums known.
// Pure, callable from any thread.
#pragma once

#include "shared/base/clock.h"
#include "shared/base/ids.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace penstock::protocol {

enum class RejectReason : std::uint8_t { Unspecified, NoSlot, Draining, Unsupported, Invalid, Resources, Stale };
enum class Outcome : std::uint8_t {
    Succeeded,
    Failed,
    TimedOut,
    SilentTimedOut,
    LogLimit,
    Cancelled,
    Infrastructure,
    NotDeterministic,
    OutputLimit,
    Transient,
};
enum class Stream : std::uint8_t { Out, Err, System };
enum class GoodbyeReason : std::uint8_t {
    Unspecified,
    Stopping,
    Restarting,
    ProtocolError,
    Version,
    Denied,
    IdentityInUse,
    Timeout,
    Replaced,
    Overloaded,
    NotLeader,
};

// The words used in logs, JSON and metrics, e.g. "silent_timed_out".
[[nodiscard]] std::string_view toString(RejectReason reason);
[[nodiscard]] std::string_view toString(Outcome outcome);
[[nodiscard]] std::string_view toString(Stream stream);
[[nodiscard]] std::string_view toString(GoodbyeReason reason);

struct Thresholds { // 0 = not set
    double cpuPsi = 0;
    double memoryPsi = 0;
    double ioPsi = 0;
    double load1 = 0;
    std::uint64_t minFreeDiskBytes = 0;   // of the work directory and of the store
    std::uint64_t minFreeMemoryBytes = 0; // available
    std::uint64_t minFreeInodes = 0;      // of the work directory
    friend bool operator==(const Thresholds&, const Thresholds&) = default;
};

struct MachineFacts {
    std::string name;
    std::vector<std::string> systems;
    std::vector<std::string> features;
    std::vector<std::string> mandatoryFeatures;
    std::vector<std::string> tags;
    std::vector<std::string> users;
    std::vector<std::string> executors;
    std::uint32_t maxJobs = 1;
    std::uint32_t cores = 0;
    std::uint64_t memoryBytes = 0;
    double speedFactor = 1;
    std::string os;
    std::string storeDir;
    std::string nixVersion;
    bool nixTrusted = false;
    Thresholds thresholds;
    std::map<std::string, std::uint64_t> resources;
    double bogomips = 0;
    friend bool operator==(const MachineFacts&, const MachineFacts&) = default;
};

struct Hello {
    std::uint32_t protocolMin = 1;
    std::uint32_t protocolMax = 1;
    std::vector<std::string> features;
    std::string identity; // 32 lower-case hex digits
    std::string instance; // 32 lower-case hex digits
    std::string version;
    MachineFacts facts;
    friend bool operator==(const Hello&, const Hello&) = default;
};

struct Pressure { // percent, and total stall time
    double someAvg10 = 0;
    double someAvg60 = 0;
    double someAvg300 = 0;
    std::uint64_t someTotalMicros = 0;
    double fullAvg10 = 0;
    double fullAvg60 = 0;
    double fullAvg300 = 0;
    std::uint64_t fullTotalMicros = 0;
    friend bool operator==(const Pressure&, const Pressure&) = default;
};

struct PressureSample {
    Pressure cpu;
    Pressure memory;
    Pressure io;
    friend bool operator==(const PressureSample&, const PressureSample&) = default;
};

struct LoadSample {
    double load1 = 0;
    double load5 = 0;
    double load15 = 0;
    std::uint64_t memoryAvailableBytes = 0;
    std::uint64_t diskFreeBytes = 0;
    std::uint64_t diskTotalBytes = 0;
    std::uint64_t storeFreeBytes = 0;
    std::uint64_t storeTotalBytes = 0;
    std::optional<PressureSample> pressure; // nothing where the kernel has none
    double cpuBusyPercent = 0;
    std::uint64_t diskFreeInodes = 0;
    std::uint64_t diskTotalInodes = 0; // 0: the file system does not count them
    friend bool operator==(const LoadSample&, const LoadSample&) = default;
};

struct HeldAttempt {
    AttemptId attempt{0};
    bool finished = false;
    friend bool operator==(const HeldAttempt&, const HeldAttempt&) = default;
};

struct Report {
    std::uint64_t appliedRevision = 0;
    std::vector<HeldAttempt> held;
    LoadSample load;
    WallTime sentAt;
    std::uint64_t sequence = 0;
    friend bool operator==(const Report&, const Report&) = default;
};

struct AttemptAnswer {
    AttemptId attempt{0};
    bool accepted = false;
    RejectReason reason = RejectReason::Unspecified; // when not accepted
    std::string text;
    friend bool operator==(const AttemptAnswer&, const AttemptAnswer&) = default;
};

struct NixOutput {
    std::string name;
    std::string path;
    std::string narHash;
    std::uint64_t narSize = 0;
    friend bool operator==(const NixOutput&, const NixOutput&) = default;
};

enum class ProductKind : std::uint8_t { Unspecified, File, Directory, Symlink };

struct BuildProduct {
    std::string type;
    std::string subtype;
    std::string output; // its name
    std::string path;   // below the output; empty: the output itself
    std::string defaultPath;
    std::string name;
    ProductKind kind = ProductKind::Unspecified;
    std::uint64_t size = 0; // of a file
    std::string sha256;     // of a file
    // About what it takes on the wire and in the database.
    [[nodiscard]] std::size_t byteCount() const
    {
        constexpr std::size_t kRest = 32; // lengths, kind, size
        return kRest + type.size() + subtype.size() + output.size() + path.size() + defaultPath.size() + name.size() +
               sha256.size();
    }
    friend bool operator==(const BuildProduct&, const BuildProduct&) = default;
};

struct BuildMetric {
    std::string name;
    double value = 0; // finite
    std::string unit;
    [[nodiscard]] std::size_t byteCount() const
    {
        constexpr std::size_t kRest = 16;
        return kRest + name.size() + unit.size();
    }
    friend bool operator==(const BuildMetric&, const BuildMetric&) = default;
};

// What the outputs of a derivation say of themselves.
struct NixResults {
    std::vector<BuildProduct> products = {};
    std::vector<BuildMetric> metrics = {};
    std::string releaseName = {};
    bool failed = false;           // there are outputs, and they say that the build has failed
    std::uint64_t closureSize = 0; // bytes; 0: not known
    [[nodiscard]] std::size_t byteCount() const
    {
        std::size_t bytes = releaseName.size();
        for (const BuildProduct& product : products)
            bytes += product.byteCount();
        for (const BuildMetric& metric : metrics)
            bytes += metric.byteCount();
        return bytes;
    }
    friend bool operator==(const NixResults&, const NixResults&) = default;
};

// What the making of a derivation's outputs took.
struct BuildEffort {
    Duration copied{0};              // that inputs and outputs travelled
    std::uint32_t rounds = 0;        // how often it was built to compare the results; 0: it was not
    bool isNondeterministic = false; // they differed
    friend bool operator==(const BuildEffort&, const BuildEffort&) = default;
};

struct AttemptResult {
    AttemptId attempt{0};
    Outcome outcome = Outcome::Infrastructure;
    std::int32_t exitCode = 0;
    std::int32_t signal = 0;
    std::string error;
    WallTime startedAt;
    WallTime stoppedAt;
    Duration cpuUser{0};
    Duration cpuSystem{0};
    std::uint64_t maxRssBytes = 0;
    std::uint64_t logBytes = 0;
    bool logTruncated = false;
    std::vector<NixOutput> outputs;
    bool cached = false;
    std::uint32_t nixStatus = 0;
    bool coreDumped = false;
    NixResults results = {}; // when it succeeded
    bool isFinal = false;    // of Outcome::Infrastructure: no other try would end otherwise
    BuildEffort effort = {};
    friend bool operator==(const AttemptResult&, const AttemptResult&) = default;
};

struct AttemptProgress {
    AttemptId attempt{0};
    std::string phase;
    WallTime startedAt;
    friend bool operator==(const AttemptProgress&, const AttemptProgress&) = default;
};

struct LogRecord {
    WallTime time;
    Stream stream = Stream::Out;
    std::string data; // any bytes
    friend bool operator==(const LogRecord&, const LogRecord&) = default;
};

struct LogChunk {
    AttemptId attempt{0};
    std::uint64_t offset = 0; // of the first record's first data byte; offsets count data bytes only
    std::vector<LogRecord> records;
    friend bool operator==(const LogChunk&, const LogChunk&) = default;
};

struct Drain {
    bool draining = false;
    std::string note;
    friend bool operator==(const Drain&, const Drain&) = default;
};

struct Goodbye {
    GoodbyeReason reason = GoodbyeReason::Unspecified;
    std::string text;
    std::chrono::milliseconds retryAfter{0}; // 0: as you like
    friend bool operator==(const Goodbye&, const Goodbye&) = default;
};

using BuilderMessage = std::variant<Hello, Report, AttemptAnswer, AttemptResult, LogChunk, AttemptProgress, Drain,
                                    Goodbye, MachineFacts>;

struct Welcome {
    std::uint32_t protocol = 1;
    std::vector<std::string> features;
    MachineId machine{0};
    std::chrono::milliseconds heartbeat{0};
    std::chrono::milliseconds deadline{0};
    WallTime serverTime;
    std::string serverVersion;
    std::string serverName;
    friend bool operator==(const Welcome&, const Welcome&) = default;
};

struct Limits { // 0 = none
    std::chrono::milliseconds timeout{0};
    std::chrono::milliseconds silentTimeout{0};
    std::uint64_t maxLogBytes = 0;
    std::chrono::milliseconds killGrace{0}; // 0: the builder's default
    std::uint64_t maxOutputBytes = 0;       // of all outputs together
    std::uint32_t repeats = 0;              // builds beyond the first, whose results are compared
    friend bool operator==(const Limits&, const Limits&) = default;
};

struct CommandWork {
    std::vector<std::string> argv;
    std::map<std::string, std::string> env;
    friend bool operator==(const CommandWork&, const CommandWork&) = default;
};

// An output of an input derivation whose path only its build could tell.
struct ResolvedInput {
    std::string drvPath;
    std::string output;
    std::string path;
    friend bool operator==(const ResolvedInput&, const ResolvedInput&) = default;
};

struct NixWork {
    std::string drvPath;
    std::string drv; // ATerm text
    std::vector<std::string> inputPaths;
    std::vector<NixOutput> outputs;
    std::string grant = {}; // for the server's /transfer routes; empty: the stores are shared
    std::vector<ResolvedInput> resolved = {};
    friend bool operator==(const NixWork&, const NixWork&) = default;
};

struct Assignment {
    AttemptId attempt{0};
    StepId step{0};
    JobId job{0};
    std::uint32_t attemptNumber = 1;
    std::string name;
    std::variant<CommandWork, NixWork> work;
    Limits limits;
    std::uint32_t cpus = 0;
    std::uint64_t memoryBytes = 0;
    std::map<std::string, std::uint64_t> resources; // named amounts granted
    bool beyondSlots = false;                       // the number of slots does not bound it
    friend bool operator==(const Assignment&, const Assignment&) = default;
};

// An assignment that arrived but makes no sense, or asks for a kind of work unknown here. The builder answers
// it with a reject, so that one odd job does not cost the connection.
struct BadAssignment {
    AttemptId attempt{0};
    RejectReason reason = RejectReason::Invalid;
    std::string text;
    friend bool operator==(const BadAssignment&, const BadAssignment&) = default;
};

struct StopOrder {
    AttemptId attempt{0};
    std::string reason;
    friend bool operator==(const StopOrder&, const StopOrder&) = default;
};

struct Desired {
    std::uint64_t revision = 0;
    bool complete = false;
    std::vector<AttemptId> wanted;
    std::vector<Assignment> assign;
    std::vector<BadAssignment> bad; // filled by decoding only; never sent
    std::vector<StopOrder> stop;
    bool draining = false;
    friend bool operator==(const Desired&, const Desired&) = default;
};

struct ResultStored {
    std::vector<AttemptId> attempts;
    friend bool operator==(const ResultStored&, const ResultStored&) = default;
};

struct LogStored {
    AttemptId attempt{0};
    std::uint64_t offset = 0;
    bool stop = false;
    friend bool operator==(const LogStored&, const LogStored&) = default;
};

struct Heartbeat {
    std::uint64_t sequence = 0;
    WallTime serverTime;
    friend bool operator==(const Heartbeat&, const Heartbeat&) = default;
};

using ServerMessage = std::variant<Welcome, Desired, ResultStored, LogStored, Heartbeat, Goodbye>;

} // namespace penstock::protocol
