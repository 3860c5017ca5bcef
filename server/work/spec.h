// SPDX-License-Identifier: GPL-3.0-or-later
// What was asked for: the immutable descriptions of a job and of its steps, as they are stored and scheduled.
// Pure values, checked by whoever builds them (server/jobs); the core trusts them.
#pragma once

#include "shared/base/clock.h"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

namespace penstock::work {

struct Limits { // zero = none
    Duration timeout{0};
    Duration silentTimeout{0};
    std::uint64_t maxLogBytes = 0;
    std::uint64_t maxOutputBytes = 0; // of all outputs together, unpacked
    std::uint32_t repeats = 0; // builds beyond the first, to see whether they give the same; the most that is asked for
    friend auto operator<=>(const Limits&, const Limits&) = default;
};

// What a step takes of its machine while it runs. Zero: not stated; then history says, else one cpu and no memory.
struct Resources {
    std::uint32_t cpus = 0;
    std::uint64_t memoryBytes = 0;
    std::map<std::string, std::uint64_t> named; // "gpu": 1; each positive
    friend bool operator==(const Resources&, const Resources&) = default;
    friend auto operator<=>(const Resources&, const Resources&) = default;
};

// When a try fails by the job's own fault. Infrastructure failures have their own budget (core options).
struct RetryPolicy {
    std::uint32_t retries = 0; // tries after the first
    Duration initial{std::chrono::seconds(60)};
    std::uint32_t factor = 3;
    Duration max{std::chrono::hours(1)};
    std::uint32_t jitterPercent = 10; // spread by step id, so that it is reproducible
    friend bool operator==(const RetryPolicy&, const RetryPolicy&) = default;
};

// Where a step may run. Empty lists mean "any".
struct Placement {
    std::string system;                 // "x86_64-linux"; empty: any; "builtin" is any with nix
    std::vector<std::string> features;  // sorted, required of the machine
    std::vector<std::string> tags;      // sorted, lower case, all must be the machine's
    std::vector<std::string> os;        // sorted, lower case, one must be the machine's
    std::vector<std::string> machines;  // names, one of
    std::string executor;               // command, nix
    std::string user;                   // must be allowed by the machine's user list
    friend bool operator==(const Placement&, const Placement&) = default;
    friend auto operator<=>(const Placement&, const Placement&) = default;
};

struct CommandWork {
    std::vector<std::string> argv; // with the shell in front where one was asked for
    std::map<std::string, std::string> env;
    friend bool operator==(const CommandWork&, const CommandWork&) = default;
};

struct NixOutput {
    std::string name;
    std::string path; // full path; empty when known only after the build
    friend bool operator==(const NixOutput&, const NixOutput&) = default;
};

// Text and input paths are there from the submission until the step's row is stored, and are read again when an attempt
// is sent; the core keeps neither. Both are empty where the derivation's file is in the server's own Nix store.
struct NixWork {
    std::string drvPath;                 // full path
    std::string drv;                     // text of the derivation file
    std::vector<std::string> inputPaths; // full paths: sources and outputs of input derivations
    std::vector<NixOutput> outputs;
    std::string platform = {}; // for people, where the placement's system is not the derivation's own; else empty
    friend bool operator==(const NixWork&, const NixWork&) = default;
};

using Work = std::variant<CommandWork, NixWork>;

struct StepSpec {
    std::string name;
    Placement placement;
    RetryPolicy retry;
    Resources resources;
    std::shared_ptr<const Work> work; // never null

    // What makes two jobs share a step: the derivation's path; empty for commands, which are never shared.
    [[nodiscard]] const std::string& sharingKey() const;
};

struct JobSpec {
    std::string name;
    std::string user;
    std::string nameSpace = "default";
    std::string shareGroup; // default: the namespace
    std::int32_t priority = 0; // within its share group, larger first
    Limits limits;             // a step gets the most generous of the jobs that need it
    std::string concurrencyGroup;       // of its namespace; empty: none
    std::uint32_t concurrencyLimit = 0; // steps of the group that may run at once; the newest job's counts
    std::uint64_t sourceId = 0;         // what its source calls it, such as the id of a Hydra build; 0: nothing
    std::string key;        // idempotency key, unique per namespace while it is kept; empty: none
    std::string definition; // the accepted JSON, for GET /jobs/{id} and display; at most 64 KiB
};

} // namespace penstock::work
