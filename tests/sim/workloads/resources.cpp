// SPDX-License-Identifier: GPL-3.0-or-later
// Steps that take more than a slot: cpus, memory, named amounts, some wanting a whole machine so that one has
// to be kept free for them; some need more than they say, which the farm learns; some machines want to be
// asked for.
#include "tests/sim/workloads/workload.h"

namespace penstock::sim {
namespace {

using std::chrono::seconds;

constexpr std::uint64_t kGiB = std::uint64_t{1} << 30U;

class ResourceHungry final : public QuietWorkload {
    void prepare(Plan& plan, Random& random) override
    {
        for (std::size_t i = 0; i < plan.machines.size(); ++i) {
            protocol::MachineFacts& machine = plan.machines[i];
            machine.memoryBytes = random.between(4, 16) * kGiB;
            machine.cores = std::max(machine.maxJobs, static_cast<std::uint32_t>(random.between(2, 8)));
            machine.thresholds.load1 = random.chance(60) ? 3.0 * machine.cores : 0.0;
            if (i % 2 == 0)
                machine.resources = {{"gpu", random.between(1, 2)}, {"licence", 3}};
            if (i >= 2 && random.chance(30))
                machine.mandatoryFeatures = {"big"};
        }
        plan.options.policy.reserveAfter = seconds(random.between(5, 20));
        plan.comparesOrder = false;
        plan.isStrict = false;
    }
    void begin(Site& site) override
    {
        for (std::uint64_t i = 0; i < 4; ++i) // what they really use, whatever they ask for
            site.truths[fmt::format("hungry{}", i)] = {seconds(2), seconds(15),
                                                       static_cast<std::uint32_t>(500 + i * 900), i * kGiB};
        // A stream of small ones that never leaves the large ones any room.
        submit(site, site.world.random.between(20, 60));
    }
    void disturb(Site& site) override
    {
        if (site.world.random.chance(40))
            submit(site, site.world.random.between(1, 4));
    }
    static void submit(Site& site, std::uint64_t count)
    {
        Random& random = site.world.random;
        const protocol::MachineFacts& first = site.plan.machines.front();
        std::vector<core::JobRequest> jobs;
        for (std::uint64_t i = 0; i < count; ++i) {
            jobs.push_back(commandJob(fmt::format("hungry{}", random.between(0, 3))));
            work::StepSpec& step = jobs.back().steps.front().spec;
            work::Resources& wanted = step.resources;
            if (random.chance(30))
                wanted.cpus = static_cast<std::uint32_t>(random.between(1, 2));
            if (random.chance(5))
                wanted.cpus = first.cores; // all of it
            if (random.chance(30))
                wanted.memoryBytes = random.between(1, 4) * kGiB;
            if (random.chance(15))
                wanted.named = {{"gpu", 1}};
            if (random.chance(10))
                wanted.named["licence"] = random.between(1, 3);
        }
        site.submit(std::move(jobs));
    }
};

} // namespace

std::unique_ptr<Workload> resources()
{
    return std::make_unique<ResourceHungry>();
}

} // namespace penstock::sim
