// SPDX-License-Identifier: GPL-3.0-or-later
// Metrics as values, and their Prometheus text (exposition format 0.0.4). Pure, callable from any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace penstock::http {

enum class MetricType : std::uint8_t { Counter, Gauge };

struct MetricSample {
    std::vector<std::pair<std::string, std::string>> labels;
    double value = 0;
};

struct MetricFamily {
    std::string name; // penstock_…, counters end in _total
    std::string help;
    MetricType type = MetricType::Gauge;
    std::vector<MetricSample> samples;
};

// One family with one sample without labels.
[[nodiscard]] MetricFamily counter(std::string name, std::string help, double value);
[[nodiscard]] MetricFamily gauge(std::string name, std::string help, double value);

// Families in the order given; a name given twice is written once, its samples together.
[[nodiscard]] std::string renderMetrics(std::span<const MetricFamily> families);

} // namespace penstock::http
