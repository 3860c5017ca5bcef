// SPDX-License-Identifier: GPL-3.0-or-later
// What a benchmark found, each figure against its budget: a table for people, JSON for programs. Counted and
// virtual figures are equal on every run and gate the exit code; times are judged, and gate nothing.
#pragma once

#include <string>
#include <vector>

namespace penstock::bench {

enum class Gate { None, Reported, Gated }; // no budget; a budget of time; a budget that must hold
enum class Budget { AtMost, AtLeast };

struct Figure {
    std::string section; // "A quality"
    std::string name;
    double value = 0;
    std::string unit;
    Gate gate = Gate::None;
    Budget kind = Budget::AtMost;
    double limit = 0;
    [[nodiscard]] bool holds() const { return kind == Budget::AtMost ? value <= limit : value >= limit; }
};

class Report {
public:
    explicit Report(bool json) : m_json(json) {}
    void note(const std::string& section, const std::string& name, double value, const std::string& unit);
    void add(Figure figure); // people see it at once
    // A thing that must not happen at all, for instance that the core refused a request: gated.
    void broken(const std::string& section, const std::string& what);
    // JSON or the summary; true when all that is gated holds.
    [[nodiscard]] bool finish() const;

private:
    void print(const Figure& figure) const;
    bool m_json;
    std::vector<Figure> m_figures;
    std::vector<std::string> m_broken;
};

} // namespace penstock::bench
