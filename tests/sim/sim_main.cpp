// SPDX-License-Identifier: GPL-3.0-or-later
// sim_main [--seed N | --seeds A..B] [--verbose] [--large] [--on]: runs seeds of the simulation, each twice,
// and prints the command that replays a failure. Over enough seeds every rare path must have been reached.
// --large runs one evaluation of 100,000 derivations a seed, once; --on goes on after a failure.
#include "shared/base/check.h"
#include "shared/base/text.h"
#include "tests/sim/scenario.h"

#include <algorithm>
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
    std::string_view program;
    bool isLarge = false;
    bool goesOn = false;
};

// Below this many seeds, chance alone may leave a rare path out.
constexpr std::uint64_t kSeedsForReach = 200;

constexpr std::array<std::string_view, 86> kRarePaths{
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
    "builder.resolved_inputs",
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
    "health.healthy_to_quarantined",
    "health.quarantined_to_probing",
    "health.quarantined_to_healthy",
    "health.probing_to_parole",
    "health.probing_to_quarantined",
    "health.parole_to_healthy",
    "health.parole_to_quarantined",
    "core.quarantines",
    "core.probes",
    "core.reservations",
    "core.promotions",
    "core.asks_raised",
    "roots.below_started",
    "roots.below_recovered",
    "roots.unwanted_cancelled",
    "roots.referred",
    "roots.reference_refused",
    "gate.steps_full",
    "gate.cpus_full",
    "gate.group_full",
    "submit.exhausted",
    "bump",
    "bump.done",
    "bump.not_found",
    "hold",
    "hold.done",
    "pause",
    "resume",
    "shares.done",
    "shares.invalid",
    "thresholds.done",
    "trust.done",
    "machine.removed",
    "remove.conflict",
    "step.unsupported",
    "shares.measured",
    "evaluation",
    "burst",
    "pressure",
};

bool parse(int count, char** arguments, Arguments& parsed)
{
    for (int i = 1; i < count; ++i) {
        const std::string_view word = arguments[i];
        if (word == "--verbose") {
            parsed.verbose = true;
            continue;
        }
        if (word == "--large" || word == "--on") {
            (word == "--on" ? parsed.goesOn : parsed.isLarge) = true;
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

void failed(const Arguments& arguments, std::uint64_t seed, std::string_view why, std::string_view made)
{
    fmt::print(stderr, "seed {} ({}): {}\nreplay: {} --seed {}{} --verbose\n", seed, made, why,
               arguments.program, seed, arguments.isLarge ? " --large" : "");
}

// Over all seeds.
struct Sums {
    std::map<std::string, std::uint64_t> reached;
    std::uint64_t events = 0;
    std::uint64_t failures = 0;
    std::int64_t longestIdleMillis = 0;
    std::int64_t longestHealingSeconds = 0;
    double worstShareError = 0;
};

bool runOne(const Arguments& arguments, std::uint64_t seed, Sums& sums)
{
    RunSettings settings{seed, arguments.verbose, arguments.isLarge};
    const RunResult once = run(settings);
    if (arguments.verbose)
        fmt::print("{}\n", once.made);
    for (const auto& [path, count] : once.reached)
        sums.reached[path] += count;
    sums.events += once.steps;
    sums.longestIdleMillis = std::max(sums.longestIdleMillis, once.longestIdleMillis);
    sums.longestHealingSeconds = std::max(sums.longestHealingSeconds, once.longestHealingSeconds);
    sums.worstShareError = std::max(sums.worstShareError, once.worstShareError);
    if (once.violation) {
        failed(arguments, seed, *once.violation, once.made);
        return false;
    }
    settings.verbose = false;
    if (!arguments.isLarge && run(settings).hash != once.hash) {
        failed(arguments, seed, "two runs of the same seed differ", once.made);
        return false;
    }
    return true;
}

bool checkReached(const Arguments& arguments, Sums& sums)
{
    bool all = true;
    for (const std::string_view path : kRarePaths) {
        const std::uint64_t count = sums.reached[std::string(path)];
        fmt::print("  {:<40} {}\n", path, count);
        if (count == 0 && arguments.last - arguments.first + 1 >= kSeedsForReach) {
            fmt::print(stderr, "{} was never reached: make it likelier in the scenario\n", path);
            all = false;
        }
    }
    return all;
}

int runAll(const Arguments& arguments)
{
    Sums sums;
    for (std::uint64_t seed = arguments.first; seed <= arguments.last; ++seed) {
        if (runOne(arguments, seed, sums))
            continue;
        ++sums.failures;
        if (!arguments.goesOn)
            return 1;
    }
    const std::uint64_t seeds = arguments.last - arguments.first + 1;
    const bool all = checkReached(arguments, sums);
    fmt::print("{} seeds, {} failed, {} events each on average\n", seeds, sums.failures, sums.events / seeds);
    fmt::print("a slot stood idle beside a waiting step for at most {} ms; after healing all was over within "
               "{} s; the "
               "worst share was {:.2f} % of the farm off\n",
               sums.longestIdleMillis, sums.longestHealingSeconds, sums.worstShareError * 100);
    return all && sums.failures == 0 ? 0 : 1;
}

} // namespace
} // namespace penstock::sim

int main(int count, char** arguments)
{
    penstock::sim::Arguments parsed;
    parsed.program = arguments[0];
    if (!penstock::sim::parse(count, arguments, parsed)) {
        fmt::print(stderr, "usage: sim_main [--seed N | --seeds A..B] [--verbose] [--large] [--on]\n");
        return 2;
    }
    penstock::setBugsFatal(true);
    return penstock::sim::runAll(parsed);
}
