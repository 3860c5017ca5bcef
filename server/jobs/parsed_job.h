// SPDX-License-Identifier: GPL-3.0-or-later
// A submission after it was checked: what the core is asked to take in. Pure values, callable from any thread.
#pragma once

#include "server/work/spec.h"

#include <cstdint>
#include <optional>
#include <vector>

namespace penstock::jobs {

struct ParsedStep {
    work::StepSpec spec;
    std::vector<std::uint32_t> dependsOn; // indices into ParsedJob::steps, smaller or larger
    bool root = true;                     // asked for, not only needed by another
    bool cached = false;                  // its outputs are where they must be already: nothing is to be done
    // Only the live step of its derivation is meant: of its work only drvPath counts.
    bool isReference = false;
};

struct ParsedJob {
    work::JobSpec spec;
    std::vector<ParsedStep> steps; // at least one
    bool claimsRootsOnly = false;  // see core::Claims
    std::optional<WallTime> bumped = {}; // from the start
};

} // namespace penstock::jobs
