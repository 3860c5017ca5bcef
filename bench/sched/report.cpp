// SPDX-License-Identifier: GPL-3.0-or-later
#include "bench/sched/report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fmt/format.h>

namespace penstock::bench {
namespace {

std::string text(double value)
{
    if (value != 0 && std::abs(value) < 0.01)
        return fmt::format("{:.5f}", value);
    if (std::abs(value) >= 1000 || value == std::floor(value))
        return fmt::format("{:.0f}", value);
    return fmt::format("{:.2f}", value);
}

std::string quoted(const std::string& words)
{
    std::string out = "\"";
    for (const char c : words) {
        if (c == '"' || c == '\\')
            out += '\\';
        out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
    return out + '"';
}

const char* verdict(const Figure& figure)
{
    if (figure.gate == Gate::None)
        return "";
    return figure.holds() ? "PASS" : "FAIL";
}

} // namespace

void Report::note(const std::string& section, const std::string& name, double value, const std::string& unit)
{
    add({section, name, value, unit, Gate::None, Budget::AtMost, 0});
}

void Report::add(Figure figure)
{
    print(figure);
    m_figures.push_back(std::move(figure));
}

void Report::broken(const std::string& section, const std::string& what)
{
    m_broken.push_back(fmt::format("{}: {}", section, what));
    if (!m_json)
        fmt::print("{:<13}BROKEN: {}\n", section, what);
}

void Report::print(const Figure& figure) const
{
    if (m_json)
        return;
    if (m_figures.empty())
        fmt::print("{:<13}{:<96}{:>12} {:<11}{:<14}{}\n", "", "figure", "value", "unit", "budget", "verdict");
    std::string budget;
    if (figure.gate != Gate::None)
        budget = fmt::format("{} {}", figure.kind == Budget::AtMost ? "<=" : ">=", text(figure.limit));
    fmt::print("{:<13}{:<96}{:>12} {:<11}{:<14}{}{}\n", figure.section, figure.name, text(figure.value),
               figure.unit, budget, verdict(figure), figure.gate == Gate::Reported ? " (time)" : "");
    std::fflush(stdout);
}

bool Report::finish() const
{
    const auto failed = std::count_if(m_figures.begin(), m_figures.end(), [](const Figure& figure) {
        return figure.gate == Gate::Gated && !figure.holds();
    });
    const bool good = failed == 0 && m_broken.empty();
    if (!m_json) {
        const auto late = std::count_if(m_figures.begin(), m_figures.end(), [](const Figure& figure) {
            return figure.gate == Gate::Reported && !figure.holds();
        });
        fmt::print("\n{}: {} figures, {} gated budgets missed, {} budgets of time missed, {} broken\n",
                   good ? "PASS" : "FAIL", m_figures.size(), failed, late, m_broken.size());
        return good;
    }
    fmt::print("{{\"pass\": {}, \"figures\": [", good);
    for (std::size_t i = 0; i < m_figures.size(); ++i) {
        const Figure& figure = m_figures[i];
        fmt::print("{}\n  {{\"section\": {}, \"name\": {}, \"value\": {}, \"unit\": {}", i == 0 ? "" : ",",
                   quoted(figure.section), quoted(figure.name), figure.value, quoted(figure.unit));
        if (figure.gate != Gate::None)
            fmt::print(", \"{}\": {}, \"holds\": {}, \"gated\": {}",
                       figure.kind == Budget::AtMost ? "at_most" : "at_least", figure.limit, figure.holds(),
                       figure.gate == Gate::Gated);
        fmt::print("}}");
    }
    fmt::print("], \"broken\": [");
    for (std::size_t i = 0; i < m_broken.size(); ++i)
        fmt::print("{}{}", i == 0 ? "" : ", ", quoted(m_broken[i]));
    fmt::print("]}}\n");
    return good;
}

} // namespace penstock::bench
