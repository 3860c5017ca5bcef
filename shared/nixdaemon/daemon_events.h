// SPDX-License-Identifier: GPL-3.0-or-later
// DaemonEvents: what a nix-daemon tells while an operation runs (nix-formats 5.5). Called on the thread that
// made the call, before that call returns; a sink must be quick, for the daemon waits. Texts are bytes: log
// lines may hold anything. Activity numbers are meaningful on one connection only.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace penstock::nixdaemon {

using ActivityField = std::variant<std::uint64_t, std::string>;

enum class ActivityType : std::uint64_t {
    Unknown = 0,
    CopyPath = 100,
    FileTransfer = 101,
    Realise = 102,
    CopyPaths = 103,
    Builds = 104,
    Build = 105, // fields: .drv path, machine, round, rounds
    OptimiseStore = 106,
    VerifyPaths = 107,
    Substitute = 108,
    QueryPathInfo = 109,
    PostBuildHook = 110,
    BuildWaiting = 111,
};

struct Activity {
    std::uint64_t id;
    std::uint64_t level; // 0 error … 7 vomit
    ActivityType type;   // may hold numbers that newer daemons add
    std::string text;
    std::vector<ActivityField> fields;
    std::uint64_t parent; // 0: none
};

struct DaemonEvents {
    virtual ~DaemonEvents() = default;
    virtual void activityStarted(const Activity&) {}
    virtual void activityStopped(std::uint64_t /*activity*/) {}
    // A line of a build's log, without its newline.
    virtual void logLine(std::uint64_t /*activity*/, std::string_view /*line*/) {}
    virtual void phase(std::uint64_t /*activity*/, std::string_view /*name*/) {}
    // Nothing more has arrived for now: the time to pass on what was gathered.
    virtual void idle() {}
    // A message for people, without colours and without the newline.
    virtual void message(std::string_view /*text*/) {}
};

} // namespace penstock::nixdaemon
