// SPDX-License-Identifier: GPL-3.0-or-later
// Counters of the modules as metric families; names are stable. Pure.
#pragma once

#include "server/feed/feed.h"
#include "server/http/metric.h"
#include "server/net/builder_links.h"
#include "server/net/listener.h"

#include <vector>

namespace penstock::app {

void appendLinkMetrics(const net::LinkCounters& counters, std::size_t connected,
                       std::vector<http::MetricFamily>& families);
void appendFeedMetrics(const feed::FeedCounters& counters, std::vector<http::MetricFamily>& families);
void appendListenerMetrics(const net::ListenerCounters& counters, std::vector<http::MetricFamily>& families);

} // namespace penstock::app
