// SPDX-License-Identifier: GPL-3.0-or-later
// What the core and the store know, in the words of the feed, and the core as metrics. Pure; those that take a FarmCore
// run on the core loop.
#pragma once

#include "server/core/farm_core.h"
#include "server/dispatch/dispatcher.h"
#include "server/feed/feed_source.h"
#include "server/http/metric.h"
#include "server/store/store.h"

#include <string>
#include <vector>

namespace penstock::app {

[[nodiscard]] bool isOpen(const core::FarmCore& farm, JobId job);
[[nodiscard]] feed::FarmTotals totalsOf(const core::FarmCore& farm);
[[nodiscard]] feed::MachineEntry machineEntry(core::MachineView&& view);
[[nodiscard]] std::vector<feed::MachineEntry> machineEntries(const core::FarmCore& farm);
[[nodiscard]] feed::FarmRecords farmRecords(const core::FarmCore& farm, const feed::FarmRequest& request,
                                            Now now);
// The job with all its steps, or with those named. NotFound when the core no longer knows it.
[[nodiscard]] Result<feed::JobRecords> jobRecords(const core::FarmCore& farm, JobId job,
                                                  const std::vector<StepId>* steps);
[[nodiscard]] std::vector<http::MetricFamily> farmMetrics(const core::FarmCore& farm, Now now);
void appendDispatchMetrics(const dispatch::Dispatcher& dispatcher, std::vector<http::MetricFamily>& families);

[[nodiscard]] feed::JobEntry toEntry(const store::JobView& view);
[[nodiscard]] feed::StepEntry toEntry(const store::StepView& view);

} // namespace penstock::app
