// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/http/metric.h"

#include <fmt/format.h>

#include <cmath>
#include <iterator>
#include <map>
#include <string_view>

namespace penstock::http {
namespace {

// Label values escape the quote too; help texts do not (exposition format 0.0.4).
std::string escape(std::string_view text, bool quotes)
{
    std::string out;
    for (const char c : text) {
        if (c == '\\')
            out += "\\\\";
        else if (c == '\n')
            out += "\\n";
        else if (c == '"' && quotes)
            out += "\\\"";
        else
            out.push_back(c);
    }
    return out;
}

std::string number(double value)
{
    if (std::isnan(value))
        return "NaN";
    if (std::isinf(value))
        return value > 0 ? "+Inf" : "-Inf";
    return fmt::format("{}", value);
}

void appendSamples(std::string& out, const MetricFamily& family)
{
    for (const auto& sample : family.samples) {
        out += family.name;
        out += sample.suffix;
        for (std::size_t at = 0; at < sample.labels.size(); ++at)
            fmt::format_to(std::back_inserter(out), "{}{}=\"{}\"", at == 0 ? '{' : ',', sample.labels[at].first,
                           escape(sample.labels[at].second, true));
        fmt::format_to(std::back_inserter(out), "{} {}\n", sample.labels.empty() ? "" : "}", number(sample.value));
    }
}

std::string_view nameOf(MetricType type)
{
    switch (type) {
    case MetricType::Counter: return "counter";
    case MetricType::Gauge: return "gauge";
    case MetricType::Histogram: return "histogram";
    }
    return "untyped";
}

} // namespace

void addHistogram(MetricFamily& family, std::vector<std::pair<std::string, std::string>> labels,
                  std::span<const Bucket> buckets, std::uint64_t count, double sum)
{
    const auto add = [&](const std::string& bound, std::uint64_t value) {
        auto all = labels;
        all.emplace_back("le", bound);
        family.samples.push_back({std::move(all), static_cast<double>(value), "_bucket"});
    };
    for (const Bucket& bucket : buckets)
        add(number(bucket.bound), bucket.count);
    add("+Inf", count);
    family.samples.push_back({labels, sum, "_sum"});
    family.samples.push_back({std::move(labels), static_cast<double>(count), "_count"});
}

MetricFamily counter(std::string name, std::string help, double value)
{
    return {std::move(name), std::move(help), MetricType::Counter, {{{}, value}}};
}

MetricFamily gauge(std::string name, std::string help, double value)
{
    return {std::move(name), std::move(help), MetricType::Gauge, {{{}, value}}};
}

std::string renderMetrics(std::span<const MetricFamily> families)
{
    std::vector<std::string_view> order;
    std::map<std::string_view, std::vector<const MetricFamily*>> byName;
    for (const auto& family : families) {
        auto& same = byName[family.name];
        if (same.empty())
            order.push_back(family.name);
        same.push_back(&family);
    }
    std::string out;
    for (const auto name : order) {
        const auto& same = byName[name];
        fmt::format_to(std::back_inserter(out), "# HELP {} {}\n# TYPE {} {}\n", name,
                       escape(same.front()->help, false), name,
                       nameOf(same.front()->type));
        for (const auto* family : same)
            appendSamples(out, *family);
    }
    return out;
}

} // namespace penstock::http
