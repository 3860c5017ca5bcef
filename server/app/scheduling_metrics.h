// SPDX-License-Identifier: GPL-3.0-or-later
// What the scheduler does, as metrics. Every set of labels is bounded: reasons are a closed list, of share groups only
// those that use most have their own series, of machines the first thousand. Pure.
#pragma once

#include "server/core/view.h"
#include "server/http/metric.h"

#include <cstddef>
#include <vector>

namespace penstock::app {

inline constexpr std::size_t kShareSeries = 200;     // the others are summed up as "(others)"
inline constexpr std::size_t kMachineSeries = 1'000; // penstock_machines_without_series counts the others

void appendWaitingMetrics(const core::Totals& totals, std::vector<http::MetricFamily>& families);
void appendShareMetrics(std::vector<core::ShareView> shares, std::vector<http::MetricFamily>& families);
void appendMachineMetrics(const std::vector<core::MachineView>& machines, std::size_t known,
                          std::vector<http::MetricFamily>& families);
void appendDecisionMetrics(const core::Counters& counters, std::vector<http::MetricFamily>& families);

} // namespace penstock::app
