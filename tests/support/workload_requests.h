// SPDX-License-Identifier: GPL-3.0-or-later
// Workloads as the core is asked for them. Pure.
#pragma once

#include "server/core/event.h"
#include "tests/support/workloads.h"

#include <cstdint>
#include <string>
#include <vector>

namespace penstock::test {

// Which step of which evaluation a derivation is: written into its path.
struct StepPlace {
    std::uint32_t evaluation = 0; // below 10,000
    std::uint32_t step = 0;
    friend bool operator==(const StepPlace&, const StepPlace&) = default;
};
[[nodiscard]] std::string derivationPath(const StepPlace& place, const std::string& name);
[[nodiscard]] StepPlace placeOf(const std::string& derivationPath);

// One job of derivations for x86_64-linux, in the evaluation's share group.
[[nodiscard]] core::JobRequest jobOf(const Evaluation& evaluation, std::uint32_t number);

// A job of one command.
struct CommandSettings {
    std::string name = "true"; // of job and step
    std::string shareGroup;    // empty: the namespace's
    std::string system;        // empty: any
    std::uint32_t cpus = 0;
    std::int32_t priority = 0;
};
[[nodiscard]] core::JobRequest commandJob(const CommandSettings& settings);
[[nodiscard]] core::StepRequest commandStep(const CommandSettings& settings);

// A machine that runs derivations and commands.
[[nodiscard]] protocol::MachineFacts machineFacts(const std::string& name, std::uint32_t slots,
                                                  std::uint32_t cores,
                                                  const std::string& system = "x86_64-linux");

} // namespace penstock::test
