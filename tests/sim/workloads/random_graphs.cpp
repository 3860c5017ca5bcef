// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/workloads/workload.h"

namespace penstock::sim {
namespace {

using std::chrono::seconds;

core::StepRequest randomStep(const std::string& user, std::uint64_t index, bool isCommand, Random& random)
{
    core::StepRequest step;
    step.spec.placement.executor = isCommand ? "command" : "nix";
    step.spec.placement.user = user;
    if (random.chance(20))
        step.spec.placement.features = {"kvm"};
    if (random.chance(5))
        step.spec.placement.machines = {"m0", "m1"};
    step.spec.retry = {.retries = static_cast<std::uint32_t>(random.between(0, 2)),
                       .initial = seconds(1),
                       .factor = 3,
                       .max = seconds(20),
                       .jitterPercent = 10};
    // Few names, so that jobs share; a name has the same dependencies everywhere: the smaller ones.
    const std::uint64_t name = isCommand ? 0 : index + random.between(0, 1) * 20;
    step.spec.name = fmt::format("s{}", name);
    if (isCommand)
        step.spec.work = std::make_shared<const work::Work>(work::CommandWork{{"true"}, {}});
    else
        step.spec.work = std::make_shared<const work::Work>(
            work::NixWork{fmt::format("/nix/store/{}.drv", name), "Derive()", {}, {{"out", ""}}});
    return step;
}

core::JobRequest randomJob(Random& random)
{
    core::JobRequest job;
    job.spec.name = "j";
    job.spec.user = random.chance(50) ? "ann" : "bob";
    job.spec.priority = static_cast<std::int32_t>(random.between(0, 2));
    if (random.chance(20))
        job.spec.key = fmt::format("k{}", random.between(1, 10));
    const bool isCommand = random.chance(40);
    const std::uint64_t count = isCommand ? 1 : random.between(1, 12);
    for (std::uint64_t i = 0; i < count; ++i) {
        core::StepRequest step = randomStep(job.spec.user, i, isCommand, random);
        step.root = i + 1 == count;
        step.cached = !isCommand && random.chance(10); // its outputs were there
        for (std::uint32_t below = 0; below < i; ++below)
            if (random.chance(30))
                step.dependsOn.push_back(below);
        job.steps.push_back(std::move(step));
    }
    return job;
}

class RandomGraphs final : public QuietWorkload {
    void disturb(Site& site) override
    {
        if (!site.world.random.chance(40))
            return;
        std::vector<core::JobRequest> jobs;
        for (std::uint64_t i = site.world.random.between(1, 4); i > 0; --i)
            jobs.push_back(randomJob(site.world.random));
        site.submit(std::move(jobs));
    }
};

} // namespace

std::unique_ptr<Workload> randomGraphs()
{
    return std::make_unique<RandomGraphs>();
}

core::JobRequest commandJob(std::string_view name)
{
    static const auto kTrue = std::make_shared<const work::Work>(work::CommandWork{{"true"}, {}});
    core::JobRequest job;
    job.spec.name = name;
    job.spec.user = "ann";
    core::StepRequest step;
    step.spec.name = name;
    step.spec.placement.executor = "command";
    step.spec.placement.user = "ann";
    step.spec.work = kTrue;
    job.steps.push_back(std::move(step));
    return job;
}

} // namespace penstock::sim
