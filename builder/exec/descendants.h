// SPDX-License-Identifier: GPL-3.0-or-later
// Finds and kills what an attempt leaves behind: members of its process group and session, and processes that made
// themselves a session of their own but still carry the attempt's HOME or TMPDIR in their environment. The builder is
// a child subreaper, so an orphan becomes its child and cannot hide behind init.
// Reads /proc; on the exec loop only when there is reason to, and at start-up. Never fails: what cannot be read
// has ended or is not ours.
#pragma once

#include "shared/base/clock.h"

#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

namespace penstock::builder {

struct ProcessFacts {
    pid_t pid = 0;
    pid_t parent = 0;
    pid_t group = 0;
    pid_t session = 0;
    bool zombie = false;
    Duration startedSinceBoot{0};
};
// The text of /proc/PID/stat; false when it is no such text. Pure.
[[nodiscard]] bool parseProcessStat(std::string_view text, long ticksPerSecond, ProcessFacts& to);

// True when HOME or TMPDIR in this /proc/PID/environ is the folder, or inside it, or its ".tmp" sibling. Pure.
[[nodiscard]] bool environmentNames(std::string_view environ, std::string_view folder);

// Orphans that were reparented to this process and belong to no known child. Ended ones among them are reaped.
// known: the attempts' main processes.
[[nodiscard]] std::vector<pid_t> adoptedOrphans(const std::set<pid_t>& known);

// Kills every process for which the test says yes, and repeats until none is left, since they may fork meanwhile;
// at most a few rounds. Gives how many were killed.
using ProcessTest = std::function<bool(const ProcessFacts& facts)>;
std::size_t killMatching(const ProcessTest& test);
// A test for it: the process works in the folder, or its environment names it (see above).
[[nodiscard]] bool carriesFolder(pid_t pid, std::string_view folder);

void becomeSubreaper();

} // namespace penstock::builder
