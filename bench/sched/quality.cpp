// SPDX-License-Identifier: GPL-3.0-or-later
// A. Schedule quality: evaluations of a package set like nixpkgs on 16 machines of 8 slots (and of 4),
// against what no schedule can beat. Each is run with an empty history, and with what a former run of the
// same packages taught.
#include "bench/sched/replay.h"
#include "bench/sched/suites.h"
#include "tests/support/workload_requests.h"

#include <algorithm>
#include <fmt/format.h>

namespace penstock::bench {
namespace {

const std::string kSection = "A quality";

struct Scene {
    std::string name;
    test::MixSettings mix;
    std::uint32_t slots = 8;
    std::vector<double> speeds = std::vector<double>(16, 1.0);
};

struct Outcome {
    Duration makespan{0};
    std::map<std::string, work::HistoryRow> history;
};

std::vector<Scene> scenes(const SuiteSettings& settings)
{
    const std::uint64_t seed = settings.seed;
    std::vector<double> mixed;
    for (std::size_t i = 0; i < 16; ++i)
        mixed.push_back(i < 4 ? 2.0 : i < 12 ? 1.0 : 0.5);
    const Duration sixHours = std::chrono::hours(6);
    std::vector<Scene> all;
    all.push_back({"8 evaluations at once", {8, 1'000, 7'000, Duration(0), seed, 0}});
    if (settings.quick)
        return all;
    all.push_back({"1 evaluation of everything", {1, 1'000, 7'000, Duration(0), seed, 0}});
    all.push_back({"4 evaluations over 6 h", {4, 1'000, 7'000, sixHours, seed, 0}});
    all.push_back({"8 evaluations over 6 h", {8, 1'000, 7'000, sixHours, seed + 1, 0}});
    all.push_back({"8 evaluations at once, 4 slots", {8, 1'000, 7'000, Duration(0), seed + 2, 0}, 4});
    all.push_back({"8 small evaluations at once", {8, 1'000, 3'000, Duration(0), seed + 3, 0}, 4});
    all.push_back(
        {"8 evaluations over 6 h, speeds 2, 1, 0.5", {8, 1'000, 7'000, sixHours, seed + 1, 0}, 8, mixed});
    return all;
}

Outcome schedule(const Scene& scene, const std::vector<test::Evaluation>& evaluations,
                 const sched::Policy& policy, const std::map<std::string, work::HistoryRow>* known,
                 Report& report)
{
    core::CoreOptions options;
    options.policy = policy;
    Replay replay(options, {.reportEvery = std::chrono::seconds(30), .sharesCores = false, .groups = 1},
                  [&evaluations](const protocol::Assignment& assignment) {
                      const auto& work = std::get<protocol::NixWork>(assignment.work);
                      const test::StepPlace place = test::placeOf(work.drvPath);
                      return Truth{evaluations[place.evaluation].steps[place.step].duration};
                  });
    if (known != nullptr) {
        work::Recovery recovery;
        for (const auto& [name, row] : *known)
            recovery.history.push_back(row);
        replay.recover(recovery);
    }
    for (std::size_t i = 0; i < scene.speeds.size(); ++i) {
        protocol::MachineFacts facts = test::machineFacts(fmt::format("m{}", i), scene.slots, scene.slots);
        facts.speedFactor = scene.speeds[i];
        replay.addMachine(facts);
    }
    std::uint64_t steps = 0;
    for (std::uint32_t i = 0; i < evaluations.size(); ++i) {
        steps += evaluations[i].steps.size();
        replay.at(evaluations[i].arrival, [&evaluations, i](Replay& farm) {
            core::SubmitJobs submit{RequestId(i + 1), {}};
            submit.jobs.push_back(test::jobOf(evaluations[i], i));
            farm.send(std::move(submit));
        });
    }
    replay.run(std::chrono::hours(24 * 10));
    if (replay.refusals() > 0)
        report.broken(kSection, "a request was refused: " + replay.firstRefusal());
    if (replay.finished() != steps)
        report.broken(kSection, fmt::format("{}: {} of {} steps ran", scene.name, replay.finished(), steps));
    return {replay.lastFinish(), replay.history()};
}

double ratio(Duration a, Duration b)
{
    return static_cast<double>(a.count()) / static_cast<double>(b.count());
}

void measure(const Scene& scene, const test::PackageSet& packages, Report& report)
{
    const std::vector<test::Evaluation> evaluations = test::mixedEvaluations(packages, scene.mix);
    test::MixSettings before = scene.mix;
    before.run = 1; // the same packages, each a little slower or faster
    const std::vector<test::Evaluation> former = test::mixedEvaluations(packages, before);
    std::vector<double> slots;
    double total = 0;
    for (const double speed : scene.speeds) {
        slots.insert(slots.end(), scene.slots, speed);
        total += speed * scene.slots;
    }
    const double best = *std::max_element(slots.begin(), slots.end());
    const test::LowerBound bound =
        test::lowerBound(evaluations, {static_cast<std::uint32_t>(slots.size()), total, best});
    std::size_t steps = 0;
    for (const test::Evaluation& evaluation : evaluations)
        steps += evaluation.steps.size();
    const auto hours = [](Duration duration) { return static_cast<double>(duration.count()) / 3.6e9; };
    report.note(kSection, scene.name + ": steps", static_cast<double>(steps), "");
    report.note(kSection, scene.name + ": critical path", hours(bound.criticalPath), "h");
    report.note(kSection, scene.name + ": work on all slots", hours(bound.work), "h");
    report.note(kSection, scene.name + ": lower bound (both, with what must stand idle)",
                hours(bound.combined), "h");
    const std::pair<test::ListOrder, const char*> lists[] = {
        {test::ListOrder::Chain, "true chains"},
        {test::ListOrder::Depth, "chains counted in steps"},
        {test::ListOrder::ShareThenChain, "shares, then true chains"},
        {test::ListOrder::ShareThenDepth, "shares, then chains counted in steps"},
        {test::ListOrder::RecentShareThenChain, "shares since arrival, then true chains"},
        {test::ListOrder::FadingShareThenChain, "what runs and ran in the last minutes, then true chains"},
        {test::ListOrder::RunningThenChain, "fewest running, then true chains"},
    };
    for (const auto& [order, words] : lists)
        report.note(kSection, fmt::format("{}: plain list schedule by {}", scene.name, words),
                    ratio(test::listSchedule(evaluations, slots, order), bound.combined), "x bound");
    const bool uniform =
        std::all_of(slots.begin(), slots.end(), [best](double speed) { return speed == best; });
    for (const auto sort :
         {sched::StepSort::Legacy, sched::StepSort::WithRdeps, sched::StepSort::WithCriticalPath}) {
        sched::Policy policy;
        policy.steps = sort;
        policy.room = sched::MachineFree::Static;
        if (!uniform)
            policy.machines = sched::MachineSort::SpeedFactorOnly;
        const std::string name = fmt::format("{}: {}", scene.name, sched::toString(sort));
        const Outcome taught = schedule(scene, former, policy, nullptr, report);
        const Outcome blank = schedule(scene, evaluations, policy, nullptr, report);
        const Outcome known = schedule(scene, evaluations, policy, &taught.history, report);
        report.note(kSection, name + ", no history", ratio(blank.makespan, bound.combined), "x bound");
        Figure figure{kSection, name + ", with history", ratio(known.makespan, bound.combined), "x bound"};
        if (sort == sched::StepSort::WithCriticalPath && uniform) {
            figure.gate = Gate::Gated;
            figure.limit = 1.08;
        }
        report.add(std::move(figure));
    }
}

} // namespace

void quality(Report& report, const SuiteSettings& settings)
{
    const test::PackageSet packages(7'000, settings.seed);
    for (const Scene& scene : scenes(settings))
        measure(scene, packages, report);
}

} // namespace penstock::bench
