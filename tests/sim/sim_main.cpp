// SPDX-License-Identifier: GPL-3.0-or-later
// sim_main [--seed N | --seeds A..B] [--verbose] [--no-reach]: runs seeds of the simulation, each twice, and prints the
// command that replays the first failure. Over enough seeds every rare path must have been reached.
#include "shared/base/check.h"
#include "shared/base/text.h"
#include "tests/sim/scenario.h"

#include <array>
#include <cstdio>
#include <fmt/format.h>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::sim {
namespace {

struct Arguments {
    std::uint64_t first = 1;
    std::uint64_t last = 200;
    bool verbose = false;
};

// Below this many seeds, chance alone may leave a rare path out.
constexpr std::uint64_t kSeedsForReach = 200;

constexpr std::array<std::string_view, 46> kRarePaths{
    "attempt.succeeded",
    "attempt.failed",
    "attempt.cancelled",
    "attempt.infrastructure",
    "attempt.transient",
    "attempt.rejected",
    "attempt.lost",
    "step.succeeded",
    "step.failed",
    "step.dependency_failed",
    "step.cancelled",
    "step.aborted",
    "step.shared",
    "step.reopened",
    "job.succeeded",
    "job.failed",
    "job.cancelled",
    "cancel.done",
    "cancel.not_found",
    "reopen.done",
    "reopen.conflict",
    "submit.unavailable",
    "stop.fenced",
    "stop.cancelled",
    "link.cut",
    "link.half_open",
    "link.deadline",
    "goodbye.replaced",
    "goodbye.identity_in_use",
    "crash.before_commit",
    "crash.after_commit",
    "assignment.sent_again",
    "builder.forgets_unwanted",
    "builder.ignores_stop",
    "builder.lies",
    "builder.rejects_draining",
    "builder.rejects_resources",
    "core.adopted",
    "core.fenced",
    "core.plan_cut_short",
    "core.refused",
    "core.retries",
    "execution.fenced_one_goes_on",
    "machine.gone_for_ever",
    "only_the_server",
    "only_the_server.adopted",
};

bool parse(int count, char** arguments, Arguments& parsed)
{
    for (int i = 1; i < count; ++i) {
        const std::string_view word = arguments[i];
        if (word == "--verbose") {
            parsed.verbose = true;
            continue;
        }
        if (i + 1 >= count)
            return false;
        const std::string_view value = arguments[++i];
        const std::size_t dots = value.find("..");
        const auto first = parseUnsigned(value.substr(0, dots));
        const auto last = dots == std::string_view::npos ? first : parseUnsigned(value.substr(dots + 2));
        if ((word != "--seed" && word != "--seeds") || !first || !last)
            return false;
        parsed.first = *first;
        parsed.last = *last;
    }
    return true;
}

int failed(std::uint64_t seed, std::string_view why)
{
    fmt::print(stderr, "seed {}: {}\nreplay: sim_main --seed {} --verbose\n", seed, why, seed);
    return 1;
}

int runAll(const Arguments& arguments)
{
    std::map<std::string, std::uint64_t> reached;
    std::uint64_t steps = 0;
    for (std::uint64_t seed = arguments.first; seed <= arguments.last; ++seed) {
        const RunResult once = run(seed, arguments.verbose);
        if (once.violation)
            return failed(seed, *once.violation);
        const RunResult twice = run(seed, false);
        if (twice.hash != once.hash)
            return failed(seed, "two runs of the same seed differ");
        steps += once.steps;
        for (const auto& [path, count] : once.reached)
            reached[path] += count;
    }
    fmt::print("{} seeds, {} events each on average\n", arguments.last - arguments.first + 1,
               steps / (arguments.last - arguments.first + 1));
    int result = 0;
    for (const std::string_view path : kRarePaths) {
        const std::uint64_t count = reached[std::string(path)];
        fmt::print("  {:<32} {}\n", path, count);
        if (count == 0 && arguments.last - arguments.first + 1 >= kSeedsForReach) {
            fmt::print(stderr, "{} was never reached: make it likelier in the scenario\n", path);
            result = 1;
        }
    }
    return result;
}

} // namespace
} // namespace penstock::sim

int main(int count, char** arguments)
{
    penstock::sim::Arguments parsed;
    if (!penstock::sim::parse(count, arguments, parsed)) {
        fmt::print(stderr, "usage: sim_main [--seed N | --seeds A..B] [--verbose]\n");
        return 2;
    }
    penstock::setBugsFatal(true);
    return penstock::sim::runAll(parsed);
}
