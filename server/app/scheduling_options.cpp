// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/scheduling_options.h"

#include "shared/base/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string>

namespace penstock::app {
namespace {

using config::Kind;
using config::OptionSpec;

constexpr std::int64_t kSecond = 1'000'000; // durations are bounded in microseconds
constexpr std::int64_t kMinute = 60 * kSecond;
constexpr std::int64_t kDay = 24 * 60 * kMinute;

// Each of Hydra's names stands at top level or in [hydra].
std::vector<std::string> hydraNames(std::initializer_list<std::string> names)
{
    std::vector<std::string> keys;
    for (const std::string& name : names) {
        keys.push_back(name);
        keys.push_back("hydra." + name);
    }
    return keys;
}

template <class Word> std::vector<std::string> wordsOf(std::initializer_list<Word> values)
{
    std::vector<std::string> words;
    for (const Word value : values)
        words.emplace_back(sched::toString(value));
    return words;
}

OptionSpec duration(std::string name, std::string help, std::string fallback, std::int64_t least, std::int64_t most)
{
    return {.name = std::move(name), .kind = Kind::Duration, .help = std::move(help), .fallback = std::move(fallback),
            .least = least, .most = most};
}

void addOrder(std::vector<OptionSpec>& o)
{
    using sched::MachineFree;
    using sched::MachineSort;
    using sched::StepSort;
    o.push_back({.name = "step-sort", .help = "order of the steps of one share group", .valueName = "WORD",
                 .fallback = "WithCriticalPath",
                 .choices = wordsOf({StepSort::Legacy, StepSort::WithRdeps, StepSort::WithCriticalPath}),
                 .synonyms = hydraNames({"stepSortFn", "step_sort_fn"})});
    o.push_back({.name = "machine-sort", .help = "which machine with room is taken first", .valueName = "WORD",
                 .fallback = "Headroom",
                 .choices = wordsOf({MachineSort::Headroom, MachineSort::SpeedFactorOnly,
                                     MachineSort::CpuCoreCountWithSpeedFactor,
                                     MachineSort::BogomipsWithSpeedFactor}),
                 .synonyms = hydraNames({"machineSortFn", "machine_sort_fn"})});
    o.push_back({.name = "machine-free", .help = "when a machine has room: by its slots, its load, or both",
                 .valueName = "WORD", .fallback = "DynamicWithMaxJobLimit",
                 .choices = wordsOf({MachineFree::Static, MachineFree::Dynamic, MachineFree::DynamicWithMaxJobLimit}),
                 .synonyms = hydraNames({"machineFreeFn", "machine_free_fn"})});
    o.push_back(duration("share-window", "use of the farm counts against a group's share for so long", "10m",
                         kMinute, kDay));
    o.push_back(duration("reserve-after", "a step that needs more than is ever free has a machine cleared for it",
                         "2m", 0, kDay));
    o.push_back(duration("promote-after", "a step that has waited so long goes first in its share group", "6h",
                         kMinute, 30 * kDay));
}

void addFailures(std::vector<OptionSpec>& o)
{
    OptionSpec initial = duration("retry-initial", "wait before the second attempt after a failure of the machine",
                                  "60s", 0, 31 * kDay);
    initial.synonyms = hydraNames({"retryInterval", "retry_interval"});
    o.push_back(std::move(initial));
    o.push_back({.name = "retry-factor", .kind = Kind::Number, .help = "each further wait is so many times as long",
                 .valueName = "N", .fallback = "3", .synonyms = hydraNames({"retryBackoff", "retry_backoff"})});
    OptionSpec longest = duration("retry-max", "but never longer than this", {}, 0, 31 * kDay);
    longest.fallbackNote = "1h, or --retry-initial when that is more";
    o.push_back(std::move(longest));
    o.push_back({.name = "max-attempts", .kind = Kind::Integer,
                 .help = "attempts of a step that may end by a machine's fault; the last one is final",
                 .valueName = "N", .fallback = "5", .least = 0, .most = 1'000,
                 .synonyms = hydraNames({"maxRetries", "max_retries"})});
    OptionSpec unsupported = duration(
        "unsupported-after", "a step that no machine of the farm could ever run fails after this time", {}, 0,
        365 * kDay);
    unsupported.fallbackNote = "it waits";
    o.push_back(std::move(unsupported));
    // Hydra's own, a number that may be negative; then it is none.
    o.push_back({.name = "maxUnsupportedTimeInS", .kind = Kind::Integer,
                 .synonyms = hydraNames({"maxUnsupportedTimeInS", "max_unsupported_time_in_s"}), .keyOnly = true});
    o.push_back({.name = "quarantine-after", .kind = Kind::Integer,
                 .help = "failures in a row, of different steps, after which a machine gets no work; 0: never",
                 .valueName = "N", .fallback = "3", .least = 0, .most = 1'000});
    o.push_back(duration("quarantine-initial", "length of the first quarantine; doubled each time", "60s", kSecond,
                         kDay));
    o.push_back(duration("quarantine-max", "but never longer than this", "1h", kSecond, 31 * kDay));
}

// A choice was checked against the very words that are parsed here.
template <class Value> Value chosen(std::optional<Value> value)
{
    PENSTOCK_CHECK(value.has_value());
    return *value;
}

// The longest wait must not be shorter than the first.
Result<void> checkOrder(const config::Values& values, std::string_view initial, std::string_view most)
{
    const auto first = values.duration(initial);
    const auto limit = values.duration(most);
    if (limit >= first)
        return {};
    const auto seconds = [](Duration duration) { return static_cast<double>(duration.count()) / 1e6; };
    return fail(ErrorCode::Invalid, fmt::format("--{} {} s is less than --{} {} s; raise the one or lower the other",
                                                most, seconds(limit), initial, seconds(first)));
}

// Integers in decisions, so a fraction is taken to the thousandth.
Result<std::uint32_t> factorThousandths(const config::Values& values)
{
    const double factor = values.number("retry-factor");
    if (!(factor >= 0 && factor <= 100))
        return fail(ErrorCode::Invalid,
                    fmt::format("{}: must be from 0 to 100, not {}", values.origin("retry-factor"), factor));
    return static_cast<std::uint32_t>(std::lround(factor * 1'000));
}

Result<work::FarmBackOff> readBackOff(const config::Values& values)
{
    work::FarmBackOff backOff = work::FarmLimits().infrastructure;
    PENSTOCK_TRY(backOff.factorThousandths, factorThousandths(values));
    backOff.initial = values.duration("retry-initial");
    backOff.max = std::max(backOff.max, backOff.initial);
    if (values.has("retry-max")) {
        PENSTOCK_TRY_VOID(checkOrder(values, "retry-initial", "retry-max"));
        backOff.max = values.duration("retry-max");
    }
    return backOff;
}

std::optional<Duration> readUnsupportedAfter(const config::Values& values)
{
    if (values.has("unsupported-after"))
        return values.duration("unsupported-after");
    if (!values.has("maxUnsupportedTimeInS"))
        return std::nullopt;
    return std::chrono::seconds(
        std::clamp<std::int64_t>(values.integer("maxUnsupportedTimeInS"), 0, 365 * kDay / kSecond));
}

} // namespace

void addSchedulingOptions(std::vector<OptionSpec>& options)
{
    addOrder(options);
    addFailures(options);
}

Result<core::CoreOptions> readSchedulingOptions(const config::Values& values)
{
    core::CoreOptions core;
    core.policy.steps = chosen(sched::parseStepSort(values.text("step-sort")));
    core.policy.machines = chosen(sched::parseMachineSort(values.text("machine-sort")));
    core.policy.room = chosen(sched::parseMachineFree(values.text("machine-free")));
    core.policy.shareWindow = values.duration("share-window");
    core.policy.reserveAfter = values.duration("reserve-after");
    core.policy.promoteAfter = values.duration("promote-after");

    PENSTOCK_TRY(core.limits.infrastructure, readBackOff(values));
    // The core counts failures that are forgiven; here it is attempts, of which the last is not. None is as one.
    core.limits.infrastructureFailures =
        static_cast<std::uint32_t>(std::max<std::int64_t>(values.integer("max-attempts"), 1) - 1);
    core.unsupportedAfter = readUnsupportedAfter(values);

    PENSTOCK_TRY_VOID(checkOrder(values, "quarantine-initial", "quarantine-max"));
    core.health.failures = static_cast<std::uint32_t>(values.integer("quarantine-after"));
    core.health.backOff.initial = values.duration("quarantine-initial");
    core.health.backOff.max = values.duration("quarantine-max");
    return core;
}

} // namespace penstock::app
