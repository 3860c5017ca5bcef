// SPDX-License-Identifier: GPL-3.0-or-later
// What the scheduler thinks, in the words of the feed: room and health of machines, what waits and why, shares,
// explanations. Pure; those that take a FarmCore run on the core loop.
#pragma once

#include "server/core/farm_core.h"
#include "server/feed/feed_source.h"

#include <map>
#include <string>
#include <vector>

namespace penstock::app {

[[nodiscard]] feed::HealthEntry healthOf(const work::MachineHealth& health);
// Nothing while the core does not say whether there is room.
[[nodiscard]] std::optional<feed::RoomEntry> roomOf(const core::MachineView& machine);
// Those in force, and which of them an operator has set.
[[nodiscard]] feed::ThresholdsEntry thresholdsOf(const core::MachineView& machine);
[[nodiscard]] std::vector<feed::ReasonCount> waitingOf(const core::Totals& totals); // most first
[[nodiscard]] std::optional<feed::PauseEntry> pauseOf(const work::DispatchPause& pause);
[[nodiscard]] std::vector<feed::GroupCount> groupsOf(const std::map<std::string, std::uint64_t>& queued); // most first
// At most feed::kShownShares, those with most work.
[[nodiscard]] std::vector<feed::ShareEntry> shareEntries(const core::FarmCore& farm, Now now);
// NotFound: the core no longer knows the job.
[[nodiscard]] Result<feed::JobReasons> reasonsOf(const core::FarmCore& farm, const feed::ExplainQuestion& question,
                                                 Now now);

} // namespace penstock::app
