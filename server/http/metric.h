// SPDX-License-Identifier: GPL-3.0-or-later
// Metrics as values, and their Prometheus text (exposition format 0.0.4). Pure, callable from any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace penstock::http {

enum class MetricType : std::uint8_t { Counter, Gauge, Histogram };

struct MetricSample {
    std::vector<std::pair<std::string, std::string>> labels;
    double value = 0;
    std::string suffix = {}; // of the family's name: what of a histogram it is
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

// Of a histogram: what each bound has below it or at it, in ascending order.
struct Bucket {
    double bound;
    std::uint64_t count;
};
// The samples of one series; labels are those of all of them.
void addHistogram(MetricFamily& family, std::vector<std::pair<std::string, std::string>> labels,
                  std::span<const Bucket> buckets, std::uint64_t count, double sum);

// Families in the order given; a name given twice is written once, its samples together.
[[nodiscard]] std::string renderMetrics(std::span<const MetricFamily> families);

} // namespace penstock::http
