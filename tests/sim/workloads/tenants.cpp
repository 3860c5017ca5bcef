// SPDX-License-Identifier: GPL-3.0-or-later
// Many small tenants with different shares beside a huge one, all with more work than the farm can do. When
// nothing breaks, Numbers compares what each was given with what its shares entitle it to.
#include "tests/sim/workloads/workload.h"

namespace penstock::sim {
namespace {

using std::chrono::seconds;

constexpr std::uint64_t kStepSeconds = 15; // on average

class Tenants final : public QuietWorkload {
    void prepare(Plan& plan, Random& random) override
    {
        plan.options.policy.shareWindow = std::chrono::minutes(random.between(2, 4));
        if (!plan.isCalm)
            return;
        plan.faultyTime = seconds(1'500);
        for (protocol::MachineFacts& machine : plan.machines) {
            machine.maxJobs = machine.cores = static_cast<std::uint32_t>(random.between(2, 3));
            machine.thresholds = {};
        }
    }
    void begin(Site& site) override
    {
        Random& random = site.world.random;
        site.truths["tenant"] = {seconds(5), seconds(2 * kStepSeconds - 5)};
        std::uint64_t slots = 0;
        for (const protocol::MachineFacts& machine : site.plan.machines)
            slots += machine.maxJobs;
        std::map<std::string, std::uint32_t> shares{{"huge", 100}};
        for (std::uint64_t i = random.between(2, 6); i > 0; --i)
            shares[fmt::format("small{}", i)] = static_cast<std::uint32_t>(random.between(1, 4) * 50);
        std::uint64_t sum = 0;
        for (const auto& [name, amount] : shares)
            sum += amount;
        for (const auto& [name, amount] : shares) {
            site.order("shares", core::SetShares{RequestId(0), {name, amount}});
            // Enough for most of the time, in a run without faults; else a little of everything.
            const auto time = static_cast<std::uint64_t>(site.plan.faultyTime / seconds(1));
            const std::uint64_t part = slots * amount * time / kStepSeconds / sum;
            const std::uint64_t few = name == "huge" ? 60 : 3;
            submit(site, name, site.plan.isCalm ? part + (name == "huge" ? part / 4 : 0) : few);
        }
        if (site.plan.isStrict)
            site.shares = shares;
    }
    void disturb(Site& site) override
    {
        if (!site.plan.isCalm && site.world.random.chance(10))
            submit(site, fmt::format("small{}", site.world.random.between(1, 6)), 2);
    }
    static void submit(Site& site, const std::string& group, std::uint64_t count)
    {
        std::vector<core::JobRequest> jobs;
        for (std::uint64_t i = 0; i < count; ++i) {
            jobs.push_back(commandJob("tenant"));
            jobs.back().spec.shareGroup = group;
        }
        site.submit(std::move(jobs));
    }
};

} // namespace

std::unique_ptr<Workload> tenants()
{
    return std::make_unique<Tenants>();
}

} // namespace penstock::sim
