// SPDX-License-Identifier: GPL-3.0-or-later
// What an operator may tell about the Hydra that is served. Values; the defaults are those of Hydra's own runner.
#pragma once

#include "shared/base/clock.h"

#include <cstdint>
#include <map>
#include <string>

namespace penstock::hydra {

struct Options {
    std::string databaseUrl;  // libpq's form; Hydra's tables and our schema are in one database
    std::string dataDir;      // HYDRA_DATA: build-logs/ and queue-runner/lock are below it
    std::string rootsDir;     // symlinks that keep outputs in the local store; empty: none are made
    bool useSubstitutes = false; // missing outputs are asked of the local daemon while builds are loaded
    bool cacheFailures = true;   // permanent failures go into failedpaths
    bool monitorsQueue = true;   // false: only builds that are asked for by id are loaded
    Duration maxSilent = std::chrono::hours(1); // of builds that state none; what they only need gets at least this
    Duration timeout = std::chrono::hours(10);  // likewise
    std::uint64_t maxLogBytes = 64ULL << 20U;
    std::uint64_t maxOutputBytes = 0; // of all outputs of a step together; 0: no limit
    Duration shareWindow = std::chrono::minutes(10); // over which machine time counts against a jobset's share
    // "project:jobset" to how often its builds are built once more, to see whether they give the same.
    std::map<std::string, std::uint32_t> repeats;
    Duration rescan = std::chrono::seconds(30); // while builds are queued: some changes come without a notification
};

} // namespace penstock::hydra
