// SPDX-License-Identifier: GPL-3.0-or-later
// What the projection writes: rows of Hydra's tables, of our side tables, and notifications in their order. Values.
#pragma once

#include "server/hydra/projection_facts.h"
#include "server/hydra/results.h"

#include <string_view>

namespace penstock::hydra {

using Seconds = std::int32_t; // since 1970

struct StepEffort { // what its making took; nothing: not known, or not worth a word
    std::optional<std::int32_t> overhead;   // milliseconds that inputs and outputs travelled
    std::optional<std::int32_t> timesBuilt; // when it was built more than once
    std::optional<bool> isNondeterministic; // likewise
    friend bool operator==(const StepEffort&, const StepEffort&) = default;
};

struct StepRow { // new, of type 0
    BuildId build = 0;
    std::int32_t stepnr = 0;
    std::string drvPath;
    std::int32_t busy = 0;
    std::optional<Status> status;
    std::optional<std::string> error;
    std::optional<Seconds> start;
    std::optional<Seconds> stop;
    std::string machine;
    std::string system;
    std::optional<BuildId> propagatedFrom;
    std::optional<std::string> resolved; // base name; with status 13 only
    StepEffort effort = {};
    friend bool operator==(const StepRow&, const StepRow&) = default;
};

struct StepOutputRow { // new
    BuildId build = 0;
    std::int32_t stepnr = 0;
    std::string name;
    std::string path; // empty: not known
    friend bool operator==(const StepOutputRow&, const StepOutputRow&) = default;
};

struct StepEnd { // of a row that is there
    BuildId build = 0;
    std::int32_t stepnr = 0;
    Status status = Status::Succeeded;
    std::optional<std::string> error;
    std::optional<Seconds> start; // nothing: as it is
    Seconds stop = 0;
    StepEffort effort = {};
    friend bool operator==(const StepEnd&, const StepEnd&) = default;
};

struct AttemptPlace { // an attempt's row of buildsteps
    AttemptId attempt;
    StepId step;
    BuildId build = 0;
    std::int32_t stepnr = 0;
    friend bool operator==(const AttemptPlace&, const AttemptPlace&) = default;
};

struct BuildEnd {
    BuildId build = 0;
    Status status = Status::Succeeded;
    Seconds start = 0;
    Seconds stop = 0;
    bool isCached = false;
    bool isPending = true; // notificationpendingsince is set
    std::optional<std::uint64_t> size;
    std::optional<std::uint64_t> closureSize;
    std::optional<std::string> releaseName;
    friend bool operator==(const BuildEnd&, const BuildEnd&) = default;
};

struct OutputPathRow {
    BuildId build = 0;
    std::string name;
    std::string path;
    friend bool operator==(const OutputPathRow&, const OutputPathRow&) = default;
};

struct ProductRow {
    BuildId build = 0;
    std::int32_t number = 0;
    std::string type;
    std::string subtype;
    std::string path;
    std::string name;
    std::string defaultPath;
    std::optional<std::uint64_t> size;
    std::optional<std::string> sha256;
    friend bool operator==(const ProductRow&, const ProductRow&) = default;
};

struct MetricRow { // what it copies from its build is left to the statement
    BuildId build = 0;
    std::string name;
    std::string unit; // empty: none
    double value = 0;
    friend bool operator==(const MetricRow&, const MetricRow&) = default;
};

struct Notification {
    std::string_view channel; // a literal
    std::string payload;
    friend bool operator==(const Notification&, const Notification&) = default;
};

struct DeferredBuild {
    BuildId build = 0;
    std::optional<BuildId> accounted;
    friend bool operator==(const DeferredBuild&, const DeferredBuild&) = default;
};

struct Rows {
    std::vector<StepRow> steps;
    std::vector<StepOutputRow> stepOutputs;
    std::vector<StepEnd> stepEnds;
    std::vector<StepOutputRow> stepPaths; // of rows that are there
    std::vector<std::string> failedPaths;
    std::vector<BuildEnd> buildEnds; // ascending
    std::vector<BuildId> built;      // those that ended well: former products and metrics go
    std::vector<OutputPathRow> outputPaths;
    std::vector<ProductRow> products;
    std::vector<MetricRow> metrics;
    // Side tables.
    std::optional<AttemptId> newest;
    std::vector<AttemptPlace> places;
    std::vector<AttemptId> running;
    std::vector<AttemptId> overAttempts;
    std::vector<AttemptId> deferredAttempts;
    std::vector<BuildId> startedBuilds;
    std::vector<BuildId> overBuilds;
    std::vector<DeferredBuild> deferredBuilds;
    std::vector<Notification> notifications; // in this order
};

} // namespace penstock::hydra
