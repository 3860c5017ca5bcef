// SPDX-License-Identifier: GPL-3.0-or-later
// Presence: leaves out of a build what need not be built because its outputs are where they must be. Pure, callable
// from any thread; linear in the steps and their edges.
#pragma once

#include "server/jobs/parsed_job.h"

#include <cstddef>
#include <set>
#include <string>
#include <vector>

namespace penstock::jobs {

// The outputs of the job's steps whose paths are known before their build, each once.
[[nodiscard]] std::vector<std::string> knownOutputPaths(const ParsedJob& job);

struct Pruned {
    std::size_t there = 0;    // steps all of whose outputs are there
    std::size_t unneeded = 0; // of the others: steps that only such steps needed
};
// A step that is there is left out, and edges to it with it; a root that is there stays as cached. What is then needed
// by no root is left out too. A step with an output whose path only its build can tell is never there. present: see
// knownOutputPaths. At least one step is left when there was a root.
Pruned leaveOutPresent(ParsedJob& job, const std::set<std::string>& present);

} // namespace penstock::jobs
