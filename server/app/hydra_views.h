// SPDX-License-Identifier: GPL-3.0-or-later
// The farm in the words of Hydra's queue runner: from the core's views to the records that its routes and metrics show.
// Pure; called on the core loop.
#pragma once

#include "server/core/farm_core.h"
#include "server/dispatch/dispatcher.h"
#include "server/http/hydra_gateway.h"
#include "server/hydra/intake.h"

#include <optional>
#include <set>
#include <string>

namespace penstock::app {

// Numbers of the whole. Machines, features and what Hydra's intake counts are not in it.
[[nodiscard]] http::HydraFarm hydraFarm(const core::FarmCore& farm, const dispatch::DispatchCounters& counters,
                                         Now now);
// What the intake has counted. running: since it was started. others: connections to the database beside its own.
[[nodiscard]] http::HydraCounters hydraCounters(const hydra::IntakeCounters& intake, Duration running,
                                                unsigned others);
// Adds what intake and projection have counted; served: whether there is a Hydra.
void addHydraCounters(http::HydraFarm& farm, const http::HydraCounters& counters, bool served);

// Nothing for one that is not connected and runs nothing: Hydra's runner forgets those.
[[nodiscard]] std::optional<http::HydraMachine> hydraMachine(core::MachineView&& machine, Now now);
// A share group as a jobset: "project:jobset". Its id is not known here.
[[nodiscard]] http::HydraJobset hydraJobset(const core::ShareView& share);
[[nodiscard]] http::HydraStep hydraStep(core::LiveStep&& step);

// Gives every machine a key of its own: its name, for the second of that name with its number.
class MachineKeys {
public:
    [[nodiscard]] std::string keyOf(const std::string& name, MachineId id);

private:
    std::set<std::string> m_taken;
};

} // namespace penstock::app
