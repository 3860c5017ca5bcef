// SPDX-License-Identifier: GPL-3.0-or-later
// What the projection reads before it decides: our rows, the side tables and Hydra's rows as the transaction sees and
// holds them. Values.
#pragma once

#include "server/work/changes.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace penstock::hydra {

using BuildId = std::int32_t;

struct StepFacts {
    std::string drvPath;
    std::string system;
    std::vector<std::string> features;
    std::vector<work::NixOutput> outputs; // an empty path: only a build can tell
    std::optional<work::StepResult> result;
    std::string error;
    std::optional<StepId> failedDependency; // where its failure began
    std::optional<AttemptId> newest;
};

struct AttemptFacts {
    StepId step{0};
    std::string machine; // its name; empty: gone
    std::uint32_t number = 1;
    WallTime created;
    work::AttemptProgress progress;
};

// A build that an attempt may be accounted to. It exists.
struct Candidate {
    BuildId build = 0;
    bool isOfJob = false; // its job is the one the attempt was made for
    bool isOwn = false;   // the attempt's step is its own derivation
    bool started = false; // build_started was sent
    std::int32_t lastStep = 0;
    bool isHeld = true; // by us, FOR KEY SHARE; else no row can refer to it now
};

struct Start {
    AttemptId attempt;
    std::vector<Candidate> candidates = {}; // ascending
};

// A derivation that is built as another one, since its inputs have turned out to be elsewhere.
struct Resolution {
    std::string resolvedDrvPath; // full
    bool isFirst = true;         // no attempt before this one has said so
};

// The row of buildsteps of an attempt that has ended.
struct OpenRow {
    AttemptId attempt;
    BuildId build = 0;
    std::int32_t stepnr = 0;
    enum class Hold : std::uint8_t { Ours, Others, Gone } hold = Hold::Ours;
    std::string drvPath = {}; // that is built: where it was resolved not the step's own; empty: the row is not there
};

// A build whose job is over.
struct BuildFacts {
    BuildId build = 0;
    StepId root{0};
    std::string drvPath;
    bool started = false;
    std::optional<BuildId> accounted; // remembered since it was deferred
    work::JobState state = work::JobState::Failed;
    WallTime jobCreated;
    std::string jobError;
    // Gone: deleted, finished by others, or of another derivation now.
    enum class Hold : std::uint8_t { Ours, Others, Gone } hold = Hold::Ours;
    std::optional<std::int32_t> formerStatus;
    std::optional<std::int32_t> formerStop;
    std::int32_t lastStep = 0;
};

struct Facts {
    WallTime now;
    std::map<StepId, StepFacts> steps;
    std::map<AttemptId, AttemptFacts> attempts;
    std::vector<Start> starts;       // in the order of attempts, those that have no row yet
    std::vector<AttemptId> running;  // accepted by their machines just now
    std::vector<OpenRow> ended;      // in the order of attempts
    std::vector<BuildFacts> builds;  // ascending
    std::map<BuildId, bool> origins; // builds that steps were accounted to, which exist; true: finished
    std::map<AttemptId, Resolution> resolutions;
};

} // namespace penstock::hydra
