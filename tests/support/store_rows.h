// SPDX-License-Identifier: GPL-3.0-or-later
// Rows for the store's tests: small ones, ones with every field set, and text forms to compare whole rows by.
#pragma once

#include "server/work/changes.h"

#include <string>

namespace penstock::store {

[[nodiscard]] work::JobRow jobRow(std::uint64_t id, std::string name = "job");
[[nodiscard]] work::StepRow commandStep(std::uint64_t id);
[[nodiscard]] work::StepRow nixStep(std::uint64_t id);
// As the core gets it back: neither text nor input paths of a derivation.
[[nodiscard]] work::StepRow withoutText(work::StepRow row);
[[nodiscard]] work::AttemptRow attemptRow(std::uint64_t id, std::uint64_t step, std::uint64_t job);
[[nodiscard]] work::MachineRow machineRow(std::uint64_t id, std::string name = "m");

// Every field differs from its default.
[[nodiscard]] work::JobRow fullJob(std::uint64_t id);
[[nodiscard]] work::StepRow fullStep(std::uint64_t id);
[[nodiscard]] work::BuildResults fullResults();
[[nodiscard]] work::AttemptRow fullAttempt(std::uint64_t id, std::uint64_t step, std::uint64_t job);
[[nodiscard]] work::MachineRow fullMachine(std::uint64_t id);
[[nodiscard]] work::NamespaceRow fullNamespace(const std::string& name);
[[nodiscard]] work::HistoryRow fullHistory(const std::string& name);
[[nodiscard]] work::DispatchPause fullPause();
// Holds NUL, ill-formed UTF-8, quotes, the last code point.
[[nodiscard]] const std::string& oddBytes();

// One job with one step that the job needs as a root.
[[nodiscard]] work::Changes oneJob(std::uint64_t id, std::string name = "job");
[[nodiscard]] work::JobProgress finishedJob(work::JobState state);
[[nodiscard]] work::StepProgress finishedStep(work::StepResult result);
[[nodiscard]] work::AttemptProgress endedAttempt(work::AttemptEnd end);

// Every field as text, so that a test compares whole rows and prints what differs.
[[nodiscard]] std::string show(const work::JobRow& row);
[[nodiscard]] std::string show(const work::StepRow& row);
[[nodiscard]] std::string show(const work::AttemptRow& row);
[[nodiscard]] std::string show(const work::MachineRow& row);
[[nodiscard]] std::string show(const work::ShareGroupRow& row);
[[nodiscard]] std::string show(const work::NamespaceRow& row);
[[nodiscard]] std::string show(const work::UsageRow& row);
[[nodiscard]] std::string show(const work::HistoryRow& row);
[[nodiscard]] std::string show(const work::DispatchPause& pause);
[[nodiscard]] std::string show(const work::Recovery& recovery);

} // namespace penstock::store
