// SPDX-License-Identifier: GPL-3.0-or-later
// One simulated run: a workload of jobs, any number of faults, a healing phase, and the checks at the end.
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
};

[[nodiscard]] RunResult run(std::uint64_t seed, bool verbose);

} // namespace penstock::sim
