// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/metrics.h"

#include "shared/protocol/link_values.h"

#include <cstdint>
#include <string>

namespace penstock::app {
namespace {

void count(std::vector<http::MetricFamily>& families, const char* name, const char* help, std::uint64_t value)
{
    families.push_back(http::counter(name, help, static_cast<double>(value)));
}

void measure(std::vector<http::MetricFamily>& families, const char* name, const char* help, std::uint64_t value)
{
    families.push_back(http::gauge(name, help, static_cast<double>(value)));
}

} // namespace

void appendLinkMetrics(const net::LinkCounters& counters, std::size_t connected,
                       std::vector<http::MetricFamily>& families)
{
    measure(families, "penstock_links", "builder connections now", connected);
    count(families, "penstock_links_accepted_total", "builder handshakes that succeeded", counters.accepted);
    count(families, "penstock_link_malformed_total", "builder connections ended for a malformed frame or message",
          counters.malformed);
    count(families, "penstock_link_unknown_messages_total", "messages of newer builders that were skipped",
          counters.unknownMessages);
    count(families, "penstock_link_timeouts_total", "builder connections ended for silence", counters.timeouts);
    count(families, "penstock_link_foreign_logs_total", "log chunks refused: not this builder's attempt",
          counters.foreignLogs);
    http::MetricFamily goodbyes{"penstock_link_goodbyes_total", "builder connections the server ended, by reason",
                                http::MetricType::Counter, {}};
    for (std::size_t i = 0; i < counters.goodbyes.size(); ++i)
        goodbyes.samples.push_back(
            {{{"reason", std::string(protocol::toString(static_cast<protocol::GoodbyeReason>(i)))}},
             static_cast<double>(counters.goodbyes.at(i))});
    families.push_back(std::move(goodbyes));
}

void appendFeedMetrics(const feed::FeedCounters& counters, std::vector<http::MetricFamily>& families)
{
    measure(families, "penstock_feed_connections", "monitors and following clients now", counters.connections);
    measure(families, "penstock_feed_watches", "what they watch now", counters.watches);
    count(families, "penstock_feed_accepted_total", "feed handshakes that succeeded", counters.accepted);
    count(families, "penstock_feed_refused_total", "feed requests refused", counters.refused);
    count(families, "penstock_feed_too_slow_total", "feed connections ended for reading too slowly",
          counters.tooSlow);
    count(families, "penstock_feed_protocol_errors_total", "feed connections ended for a malformed message",
          counters.protocolErrors);
    count(families, "penstock_feed_deltas_total", "farm deltas made", counters.deltas);
    count(families, "penstock_feed_snapshots_total", "farm snapshots sent", counters.snapshots);
    count(families, "penstock_feed_resumed_total", "watches resumed without a snapshot", counters.resumed);
    count(families, "penstock_feed_log_bytes_total", "log bytes sent to followers", counters.logBytes);
}

void appendListenerMetrics(const net::ListenerCounters& counters, std::vector<http::MetricFamily>& families)
{
    measure(families, "penstock_connections", "connections now", counters.connections);
    count(families, "penstock_connections_accepted_total", "connections accepted", counters.accepted);
    count(families, "penstock_connections_over_limit_total", "connections refused for a limit", counters.overLimit);
    count(families, "penstock_connections_malformed_total", "connections ended for a malformed head",
          counters.malformed);
    count(families, "penstock_connections_head_timeouts_total", "connections ended for a slow head",
          counters.headTimeouts);
    count(families, "penstock_connections_denied_total", "connections refused for their credential",
          counters.denied);
}

} // namespace penstock::app
