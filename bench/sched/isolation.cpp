// SPDX-License-Identifier: GPL-3.0-or-later
// F. No system delays another: a fast architecture gets bursts of short steps, a slow one has a huge queue
// and two machines, or none at all. How long does a step of the fast one wait though it has free machines;
// what does the planner look at for it; and are both kept busy?
#include "bench/sched/cpu_time.h"
#include "bench/sched/replay.h"
#include "bench/sched/suites.h"
#include "tests/support/workload_requests.h"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>

namespace penstock::bench {
namespace {

const std::string kSection = "F isolation";
constexpr std::size_t kFastMachines = 100;
constexpr std::uint32_t kSlots = 8;
constexpr std::size_t kBurst = 500; // of 800 slots
constexpr Duration kEvery = std::chrono::seconds(10);
constexpr Duration kTakes = std::chrono::seconds(5);

struct Scene {
    std::string name;
    std::size_t slowQueue = 0;
    std::size_t slowMachines = 0;
    bool sameGroup = false;
    bool slowBursts = false; // new work for the slow one at each burst of the fast one
};

struct Outcome {
    std::uint64_t fastStarts = 0;
    Duration longestWait{0};
    double visitsPerStart = 0;
    double secondsPerStart = 0; // of processor time
    double slowBusy = 0;        // of its slots
};

core::SubmitJobs jobs(std::size_t count, const std::string& name, const std::string& system,
                      const std::string& group)
{
    core::SubmitJobs submit{RequestId(1), {}};
    test::CommandSettings settings;
    settings.name = name;
    settings.system = system;
    settings.shareGroup = group;
    submit.jobs.reserve(count);
    for (std::size_t i = 0; i < count; ++i)
        submit.jobs.push_back(test::commandJob(settings));
    return submit;
}

Outcome measure(const Scene& scene, Duration length, Report& report)
{
    core::CoreOptions options;
    options.policy.room = sched::MachineFree::Static;
    Outcome outcome;
    Replay* farm = nullptr;
    Replay replay(options, {.reportEvery = std::chrono::seconds(30), .sharesCores = false, .groups = 2},
                  [&](const protocol::Assignment& assignment) {
                      if (assignment.name == "slow")
                          return Truth{kTakes * 6, 1000, 0, 1};
                      const std::string_view digits = std::string_view(assignment.name).substr(5); // "fast-"
                      std::int64_t micros = 0;
                      static_cast<void>(
                          std::from_chars(digits.data(), digits.data() + digits.size(), micros));
                      ++outcome.fastStarts;
                      outcome.longestWait = std::max(outcome.longestWait, farm->elapsed() - Duration(micros));
                      return Truth{kTakes};
                  });
    farm = &replay;
    const std::string group = scene.sameGroup ? "fast" : "slow";
    for (std::size_t left = scene.slowQueue; left > 0;) {
        const std::size_t count = std::min<std::size_t>(left, 5'000);
        replay.send(jobs(count, "slow", "aarch64-linux", group));
        replay.run(Duration(0));
        left -= count;
    }
    for (std::size_t i = 0; i < kFastMachines + scene.slowMachines; ++i)
        replay.addMachine(test::machineFacts(fmt::format("m{}", i), kSlots, kSlots,
                                             i < kFastMachines ? "x86_64-linux" : "aarch64-linux"));
    const core::Counters before = replay.core().counters();
    for (Duration at = kEvery; at < length; at += kEvery)
        replay.at(at, [&scene, &group](Replay& now) {
            if (scene.slowBursts)
                now.send(jobs(kBurst * 4, "slow", "aarch64-linux", group));
            now.send(jobs(kBurst, fmt::format("fast-{}", now.elapsed().count()), "x86_64-linux", "fast"));
        });
    const double begin = cpuSeconds();
    replay.run(length);
    const double seconds = cpuSeconds() - begin;
    const core::Counters& after = replay.core().counters();
    const auto starts = static_cast<double>(after.attemptsStarted - before.attemptsStarted);
    outcome.visitsPerStart = static_cast<double>(after.planVisits - before.planVisits) / starts;
    outcome.secondsPerStart = seconds / starts;
    const auto usage = replay.usage();
    Duration slow{0};
    for (const Duration span : usage[1])
        slow += span;
    if (scene.slowMachines > 0)
        outcome.slowBusy = static_cast<double>(slow.count()) / static_cast<double>(length.count()) /
                           static_cast<double>(scene.slowMachines * kSlots);
    const std::uint64_t wanted = kBurst * static_cast<std::uint64_t>((length - Duration(1)) / kEvery);
    if (outcome.fastStarts != wanted)
        report.broken(kSection,
                      fmt::format("{}: {} of {} fast steps started", scene.name, outcome.fastStarts, wanted));
    if (replay.refusals() > 0)
        report.broken(kSection, "a request was refused: " + replay.firstRefusal());
    return outcome;
}

} // namespace

void isolation(Report& report, const SuiteSettings& settings)
{
    const std::size_t huge = settings.quick ? 100'000 : 1'000'000;
    const Duration length = std::chrono::minutes(settings.quick ? 5 : 15);
    const Outcome alone = measure({"alone"}, length, report);
    for (const Scene& scene :
         {Scene{"slow one saturated", huge, 2}, Scene{"slow one without machines", huge, 0},
          Scene{"slow one saturated, same share group", huge, 2, true},
          Scene{"slow one saturated, with bursts of its own", huge / 10, 2, false, true}}) {
        const Outcome beside = measure(scene, length, report);
        report.add({kSection, scene.name + ": longest wait of a fast step",
                    static_cast<double>(beside.longestWait.count()) / 1e6, "s", Gate::Gated, Budget::AtMost,
                    0});
        report.add({kSection, scene.name + ": visits a start, against a farm without the slow one",
                    beside.visitsPerStart / std::max(alone.visitsPerStart, 1.0), "x", Gate::Gated,
                    Budget::AtMost, 2});
        if (!scene.slowBursts) // whose submissions are no starts
            report.add({kSection, scene.name + ": time a start, against a farm without the slow one",
                        beside.secondsPerStart / alone.secondsPerStart, "x", Gate::Reported, Budget::AtMost,
                        2});
        if (scene.slowMachines > 0)
            report.add({kSection, scene.name + ": slots of the slow one in use", 100 * beside.slowBusy, "%",
                        Gate::Gated, Budget::AtLeast, 99});
    }
}

} // namespace penstock::bench
