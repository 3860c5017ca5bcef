// SPDX-License-Identifier: GPL-3.0-or-later
// How results of ours are told in Hydra's words: status numbers, texts, payloads, names. Pure values.
#pragma once

#include "server/work/changes.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::hydra {

// builds.buildstatus and buildsteps.status.
enum class Status : std::int32_t {
    Succeeded = 0,
    Failed = 1,
    DependencyFailed = 2, // of builds only
    Aborted = 3,
    Cancelled = 4,
    FailedOutput = 6, // of builds only: nix-support/failed
    TimedOut = 7,
    CachedFailure = 8, // of steps only
    Unsupported = 9,
    LogLimit = 10,
    OutputLimit = 11,
    NotDeterministic = 12,
    Resolved = 13, // of steps only
};

// buildsteps.busy, as far as the projection writes it.
inline constexpr std::int32_t kBusyPreparing = 1;
inline constexpr std::int32_t kBusyConnecting = 10;

[[nodiscard]] Status statusOf(work::AttemptEnd end);
[[nodiscard]] Status statusOf(work::StepResult result);
// Of a build above a step that did not end well. isOwn: the step is the build's own derivation.
[[nodiscard]] Status buildStatusOf(Status step, bool isOwn);
// Whether its output paths go into failedpaths.
[[nodiscard]] bool isCacheable(Status step);

// What PostgreSQL can hold and a web page show: well-formed UTF-8 without NUL.
[[nodiscard]] std::string shownText(std::string_view bytes);
// buildsteps.errormsg: nothing for statuses that speak for themselves, never empty.
[[nodiscard]] std::optional<std::string> errorTextOf(Status step, std::string_view error);
[[nodiscard]] std::string unsupportedText(std::string_view system, const std::vector<std::string>& features);

// Unix seconds as Hydra's columns hold them; nothing for times no column can hold (a builder's clock may say anything).
[[nodiscard]] std::optional<std::int32_t> secondsOf(std::optional<WallTime> at);

// DATADIR/build-logs/XX/REST of a derivation's base name.
[[nodiscard]] std::string logPathOf(std::string_view dataDir, std::string_view drvPath);
// The third field of step_finished: the path, or "-" where there is no file or the path cannot be told.
[[nodiscard]] std::string logFieldOf(std::string path, bool isThere);

// Payloads of build_finished, each below kMaxPayload bytes and beginning with the head.
inline constexpr std::size_t kMaxPayload = 7000; // PostgreSQL takes 7999
[[nodiscard]] std::vector<std::string> finishedPayloads(std::int32_t head, const std::vector<std::int32_t>& marked);

// buildproducts.name: empty where it has characters that do not belong into a link.
[[nodiscard]] std::string productName(std::string_view name);

} // namespace penstock::hydra
