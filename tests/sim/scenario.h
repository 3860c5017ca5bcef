// SPDX-License-Identifier: GPL-3.0-or-later
// One simulated run: workloads and faults drawn from the seed, a healing phase, and the checks at the end.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace penstock::sim {

struct RunResult {
    std::uint64_t hash = 0;
    std::uint64_t steps = 0;
    std::optional<std::string> violation;
    std::map<std::string, std::uint64_t> reached;
    std::string made; // of what the run was, for people
    std::int64_t longestIdleMillis = 0;
    std::int64_t longestHealingSeconds = 0;
    double worstShareError = 0;
};

struct RunSettings {
    std::uint64_t seed = 1;
    bool verbose = false;
    bool isLarge = false; // the evaluation of 100,000 derivations, whatever the seed would have drawn
};
[[nodiscard]] RunResult run(const RunSettings& settings);

} // namespace penstock::sim
