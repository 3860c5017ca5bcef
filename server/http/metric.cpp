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
        for (std::size_t at = 0; at < sample.labels.size(); ++at)
            fmt::format_to(std::back_inserter(out), "{}{}=\"{}\"", at == 0 ? '{' : ',', sample.labels[at].first,
                           escape(sample.labels[at].second, true));
        fmt::format_to(std::back_inserter(out), "{} {}\n", sample.labels.empty() ? "" : "}", number(sample.value));
    }
}

} // namespace

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
                       same.front()->type == MetricType::Counter ? "counter" : "gauge");
        for (const auto* family : same)
            appendSamples(out, *family);
    }
    return out;
}

} // namespace penstock::http
