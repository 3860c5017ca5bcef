// SPDX-License-Identifier: GPL-3.0-or-later
// D. Throughput and memory: 10^3 to 10^6 ready steps of 8 systems in 200 share groups on up to 5,000 machines
// of 4 to 16 slots, as jobs of one step and as 200 jobs of up to 5,000. Everything that a start costs the
// core is in the time: the answer, the result and the rows of the step before.
#include "bench/sched/bed.h"
#include "bench/memory.h"
#include "bench/sched/suites.h"
#include "tests/support/workload_requests.h"

#include <algorithm>
#include <fmt/format.h>
#include <memory>

namespace penstock::bench {
namespace {

const std::string kSection = "D throughput";
constexpr std::size_t kSystems = 8;
constexpr std::size_t kGroups = 200;

std::string systemName(std::size_t index)
{
    return fmt::format("arch{}-linux", index % kSystems);
}

struct Scene {
    const char* name;
    bool single = true; // jobs of one step; else kGroups jobs
    double bytesLimit = 0;
};

// In batches, as many clients would.
void submit(Bed& bed, const Scene& scene, std::size_t steps)
{
    constexpr std::size_t kBatch = 1'000;
    core::SubmitJobs jobs{RequestId(1), {}};
    const std::size_t perJob = scene.single ? 1 : std::max<std::size_t>(steps / kGroups, 1);
    std::size_t inBatch = 0;
    for (std::size_t i = 0; i < steps; i += perJob) {
        test::CommandSettings settings;
        const std::size_t group = scene.single ? i * 7 % kGroups : i / perJob % kGroups;
        settings.name = fmt::format("package{}", i % 5'000);
        settings.shareGroup = fmt::format("group-{}", group);
        settings.system = systemName(i);
        core::JobRequest job = test::commandJob(settings);
        for (std::size_t k = 1; k < perJob; ++k) {
            settings.name = fmt::format("package{}", k);
            settings.system = systemName(k);
            job.steps.push_back(test::commandStep(settings));
        }
        jobs.jobs.push_back(std::move(job));
        inBatch += perJob;
        if (inBatch >= kBatch || i + perJob >= steps) {
            bed.apply(std::move(jobs));
            jobs = {RequestId(1), {}};
            inBatch = 0;
        }
    }
}

void addMachines(Bed& bed, std::size_t count)
{
    for (std::size_t i = 0; i < count; ++i)
        bed.addMachine(test::machineFacts(fmt::format("m{}", i), static_cast<std::uint32_t>(4 + i % 13), 16,
                                          systemName(i)));
}

struct Cost {
    double startsPerSecond = 0;
    double visitsPerStart = 0;
    double bytesPerStep = 0;
};

struct Sums {
    double starts = 0;
    double visits = 0;
    double seconds = 0;
    double bytesPerStep = 0;
};

void measureOnce(const Scene& scene, std::size_t steps, Sums& sums, Report& report)
{
    core::CoreOptions options;
    options.policy.room = sched::MachineFree::Static;
    const auto bed = std::make_unique<Bed>(options);
    const std::int64_t before = bytesInUse();
    submit(*bed, scene, steps);
    sums.bytesPerStep = static_cast<double>(bytesInUse() - before) / static_cast<double>(steps);
    addMachines(*bed, std::clamp<std::size_t>(steps / 200, kSystems, 5'000));
    bed->settle();
    const std::uint64_t startsBefore = bed->starts();
    const std::uint64_t visitsBefore = bed->core().counters().planVisits;
    const double secondsBefore = bed->seconds();
    const std::uint64_t wanted = std::min<std::uint64_t>(steps / 3, 200'000);
    while (bed->starts() - startsBefore < wanted && bed->finish(256) > 0) {
    }
    sums.starts += static_cast<double>(bed->starts() - startsBefore);
    sums.seconds += bed->seconds() - secondsBefore;
    sums.visits += static_cast<double>(bed->core().counters().planVisits - visitsBefore);
    if (!bed->refusal().empty())
        report.broken(kSection, "a request was refused: " + bed->refusal());
}

Cost measure(const Scene& scene, std::size_t steps, Report& report)
{
    constexpr double kEnough = 30'000; // starts, for a time worth reading
    Sums sums;
    for (int round = 0; round < 100 && sums.starts < kEnough; ++round)
        measureOnce(scene, steps, sums, report);
    if (sums.starts <= 0)
        report.broken(kSection, fmt::format("{}, {} ready: nothing was started", scene.name, steps));
    return {sums.starts / sums.seconds, sums.visits / sums.starts, sums.bytesPerStep};
}

} // namespace

void throughput(Report& report, const SuiteSettings& settings)
{
    const std::size_t largest = settings.quick ? 100'000 : 1'000'000;
    for (const Scene& scene : {Scene{"jobs of one step", true, 400}, Scene{"200 jobs", false, 400}}) {
        std::vector<Cost> costs;
        for (std::size_t steps = 1'000; steps <= largest; steps *= 10) {
            const std::string name = fmt::format("{}, {} ready: ", scene.name, steps);
            const Cost cost = measure(scene, steps, report);
            costs.push_back(cost);
            report.note(kSection, name + "starts through the core", cost.startsPerSecond, "1/s");
            report.note(kSection, name + "visits of the planner a start", cost.visitsPerStart, "");
            if (steps >= 100'000)
                report.add({kSection, name + "memory a step", cost.bytesPerStep, "B", Gate::Gated,
                            Budget::AtMost, scene.bytesLimit});
        }
        const std::string growth = fmt::format("{}: from 1000 to {} ready, ", scene.name, largest);
        report.add({kSection, growth + "visits a start grow by",
                    costs.back().visitsPerStart / std::max(costs.front().visitsPerStart, 1.0), "x",
                    Gate::Gated, Budget::AtMost, 3});
        report.add({kSection, growth + "time a start grows by",
                    costs.front().startsPerSecond / costs.back().startsPerSecond, "x", Gate::Reported,
                    Budget::AtMost, 4});
    }
}

} // namespace penstock::bench
