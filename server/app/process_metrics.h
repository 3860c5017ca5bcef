// SPDX-License-Identifier: GPL-3.0-or-later
// What every Prometheus client library tells of its process, under the usual names. What the kernel does not say is
// left out. Reads the kernel's memory only, so it does not block; any thread.
#pragma once

#include "server/http/metric.h"

#include <vector>

namespace penstock::app {

void appendProcessMetrics(std::vector<http::MetricFamily>& families);

} // namespace penstock::app
