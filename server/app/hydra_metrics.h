// SPDX-License-Identifier: GPL-3.0-or-later
// Metrics under the names of Hydra's queue runner, as far as there is a source for them; where a name said something
// else than what it counted, it counts now what it says (docs/hydra.md has the table). Machines by name, the first
// thousand. And penstock_hydra_*: how intake and projection do. Pure.
#pragma once

#include "server/app/hydra_views.h"
#include "server/http/metric.h"

#include <cstdint>
#include <optional>
#include <vector>

namespace penstock::app {

// Called on the core loop. counters: nothing without a Hydra.
void appendHydraMetrics(const core::FarmCore& farm, const dispatch::DispatchCounters& dispatch, Now now,
                        const std::optional<http::HydraCounters>& counters, std::vector<http::MetricFamily>& families);
// The core's turns; running: since the server started.
void appendHydraTurns(const dispatch::DispatchCounters& dispatch, Duration running,
                      std::vector<http::MetricFamily>& families);

struct HydraCopies { // to further stores
    std::uint64_t waiting = 0;
    std::uint64_t finished = 0;
    std::uint64_t failures = 0;
};
void appendHydraCopies(const HydraCopies& copies, std::vector<http::MetricFamily>& families);
void appendHydraClock(Now now, Duration running, std::vector<http::MetricFamily>& families);

} // namespace penstock::app
