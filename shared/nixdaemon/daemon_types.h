// SPDX-License-Identifier: GPL-3.0-or-later
// Values that travel to and from a nix-daemon. Pure values, callable from any thread.
#pragma once

#include "shared/base/stream.h"
#include "shared/nix/content_address.h"
#include "shared/nix/hash.h"
#include "shared/nix/store_path.h"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::nixdaemon {

enum class Trust : std::uint8_t { Unknown, Trusted, NotTrusted };

struct Greeting {
    unsigned minor;         // protocol in force: 1.minor
    std::string nixVersion; // empty below 1.33
    Trust trust;            // Unknown below 1.35
};

struct PathInfo {
    std::optional<nix::StorePath> deriver;
    nix::Hash narHash;
    nix::StorePathSet references;
    std::uint64_t registrationTime; // seconds since 1970
    std::uint64_t narSize;          // 0: unknown
    bool isUltimate;                // built by that store itself
    std::vector<std::string> signatures;
    std::string contentAddress; // nix-formats 1.6; empty: none
};

// nix-formats 5.9.
enum class BuildStatus : std::uint8_t {
    Built = 0,
    Substituted = 1,
    AlreadyValid = 2,
    PermanentFailure = 3,
    InputRejected = 4,
    OutputRejected = 5,
    TransientFailure = 6,
    CachedFailure = 7,
    TimedOut = 8,
    MiscFailure = 9,
    DependencyFailed = 10,
    LogLimitExceeded = 11,
    NotDeterministic = 12,
    ResolvesToAlreadyValid = 13,
    NoSubstituters = 14,
    HashMismatch = 15, // to clients of our protocol said as OutputRejected
    Unknown = 255, // of a newer daemon; a failure
};

[[nodiscard]] bool isGood(BuildStatus status);
[[nodiscard]] std::string_view toString(BuildStatus status);

struct BuildResult {
    BuildStatus status;
    std::uint64_t number;        // the status as it came
    std::string error;           // without colours; empty when good
    std::uint64_t startTime = 0; // seconds since 1970 by the daemon's clock; 0: not known
    std::uint64_t stopTime = 0;
    std::optional<std::uint64_t> cpuUser; // microseconds
    std::optional<std::uint64_t> cpuSystem;
    std::map<std::string, nix::StorePath> outputs; // empty below 1.28 and on failure
};

// A path to be made valid, or outputs of a derivation to be built.
struct DerivedPath {
    nix::StorePath path;
    bool isBuild;                  // path is a .drv to be built
    std::set<std::string> outputs; // of a build; empty: all
};

struct MissingPaths {
    nix::StorePathSet willBuild; // .drv paths
    nix::StorePathSet willSubstitute;
    nix::StorePathSet unknown;
    std::uint64_t downloadSize;
    std::uint64_t narSize;
};

struct AddOptions {
    bool repair = false;              // write it again although it is valid; trusted clients only
    bool dontCheckSignatures = false; // taken from trusted clients only: set it for what was verified here
};

// A path to be added with what is known of it. narSize 0: unknown.
struct NarToAdd {
    nix::StorePath path;
    PathInfo info;
    ByteSource nar; // asked only when its turn has come
};

// A file or tree whose path the store computes from its content.
struct ContentToAdd {
    std::string name;
    nix::AddressMethod method; // Recursive: the content is a NAR
    nix::HashAlgorithm algorithm = nix::HashAlgorithm::Sha256;
    nix::StorePathSet references; // with sha256 and Text or Recursive only
    std::uint64_t size;           // of the content, exactly
    bool repair = false;
};

struct SubstitutableInfo {
    std::optional<nix::StorePath> deriver;
    nix::StorePathSet references;
    std::uint64_t downloadSize; // 0: unknown
    std::uint64_t narSize;
};

// Which path an output of a content-addressed derivation is (nix-formats 5.11).
struct Realisation {
    std::string id; // sha256:HASH!OUTPUT
    nix::StorePath outPath;
    std::vector<std::string> signatures;
    std::map<std::string, nix::StorePath> dependentRealisations;

    friend bool operator==(const Realisation&, const Realisation&) = default;
};

enum class BuildMode : std::uint8_t { Normal = 0, Repair = 1, Check = 2 };

// SetOptions: in force for one connection.
struct ConnectionSettings {
    bool keepFailed = false;
    bool keepGoing = true;
    bool fallback = false;
    std::uint64_t verbosity = 3; // info
    std::uint64_t maxJobs = 1;   // builds at a time on this connection
    std::uint64_t maxSilentSeconds = 0;
    std::uint64_t cores = 0; // NIX_BUILD_CORES; 0: all
    bool useSubstitutes = false;
    std::map<std::string, std::string> overrides; // settings by name: timeout, max-build-log-size, …
};

} // namespace penstock::nixdaemon
