// SPDX-License-Identifier: GPL-3.0-or-later
// What a run is made of, drawn from its seed.
#pragma once

#include "tests/sim/site.h"
#include "tests/sim/workloads/workload.h"

#include <memory>
#include <string>
#include <vector>

namespace penstock::sim {

struct Drawn {
    Plan plan;
    std::vector<std::unique_ptr<Workload>> workloads;
    std::string words;
};
[[nodiscard]] Drawn draw(Random& random, bool isLarge);

} // namespace penstock::sim
