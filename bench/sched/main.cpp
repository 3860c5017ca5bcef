// SPDX-License-Identifier: GPL-3.0-or-later
// The scheduler as a whole, against the budgets it was built for: bench_sched [--json] [--quick] [--seed N]
// [--only LETTERS]. Exit 1 when a budget that does not depend on the clock is missed, 2 on a wrong call.
#include "bench/sched/suites.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <fmt/format.h>
#include <string>
#include <string_view>

namespace {

using penstock::bench::Report;
using penstock::bench::SuiteSettings;

struct Suite {
    char letter;
    void (*run)(Report&, const SuiteSettings&);
};
constexpr Suite kSuites[] = {
    {'A', penstock::bench::quality},    {'B', penstock::bench::fairness},   {'C', penstock::bench::pressure},
    {'D', penstock::bench::throughput}, {'E', penstock::bench::operations}, {'F', penstock::bench::isolation},
};

int wrong(std::string_view word)
{
    fmt::print(stderr, "bench_sched: {} is not understood; use --json, --quick, --seed N, --only ABCDEF\n",
               word);
    return 2;
}

} // namespace

int main(int argc, char** argv)
{
    SuiteSettings settings;
    bool json = false;
    std::string only;
    for (int i = 1; i < argc; ++i) {
        const std::string_view word(argv[i]);
        const std::string_view value(i + 1 < argc ? argv[i + 1] : "");
        if (word == "--json")
            json = true;
        else if (word == "--quick")
            settings.quick = true;
        else if (word == "--only" && !value.empty())
            only = argv[++i];
        else if (word == "--seed" && !value.empty()) {
            const auto end = std::from_chars(value.data(), value.data() + value.size(), settings.seed);
            if (end.ec != std::errc() || end.ptr != value.data() + value.size())
                return wrong(value);
            ++i;
        } else
            return wrong(word);
    }
    for (const char letter : only)
        if (std::none_of(std::begin(kSuites), std::end(kSuites),
                         [letter](const Suite& suite) { return suite.letter == letter; }))
            return wrong(only);
    Report report(json);
    for (const Suite& suite : kSuites)
        if (only.empty() || only.find(suite.letter) != std::string::npos)
            suite.run(report, settings);
    return report.finish() ? 0 : 1;
}
