// SPDX-License-Identifier: GPL-3.0-or-later
// Two systems: the queue of one is longer than the run, the other gets a job now and then. The first must not
// delay the second: when nothing breaks, no step of it waits while its machine has a free slot (see Numbers).
#include "tests/sim/workloads/workload.h"

namespace penstock::sim {
namespace {

using std::chrono::seconds;

class Architectures final : public QuietWorkload {
    void prepare(Plan& plan, Random&) override
    {
        for (std::size_t i = 0; i < plan.machines.size(); ++i)
            plan.machines[i].systems = {i % 2 == 0 ? "aarch64-linux" : "x86_64-linux"};
    }
    void begin(Site& site) override
    {
        site.truths["slow"] = {seconds(10), seconds(40)};
        site.truths["fast"] = {seconds(1), seconds(8)};
        submit(site, "slow", "aarch64-linux", site.world.random.between(40, 120));
    }
    void disturb(Site& site) override
    {
        if (site.world.random.chance(15))
            submit(site, "fast", "x86_64-linux", site.world.random.between(1, 3));
    }
    static void submit(Site& site, const std::string& name, const std::string& system, std::uint64_t count)
    {
        std::vector<core::JobRequest> jobs;
        for (std::uint64_t i = 0; i < count; ++i) {
            jobs.push_back(commandJob(name));
            jobs.back().steps.front().spec.placement.system = system;
        }
        site.submit(std::move(jobs));
    }
};

} // namespace

std::unique_ptr<Workload> architectures()
{
    return std::make_unique<Architectures>();
}

} // namespace penstock::sim
