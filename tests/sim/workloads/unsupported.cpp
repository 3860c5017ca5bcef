// SPDX-License-Identifier: GPL-3.0-or-later
// Steps that no machine can run: they must end as unsupported after the time that the operator has set.
#include "tests/sim/workloads/workload.h"

namespace penstock::sim {
namespace {

class Unsupported final : public QuietWorkload {
    void prepare(Plan& plan, Random& random) override
    {
        plan.options.unsupportedAfter = std::chrono::seconds(random.between(10, 60));
    }
    void disturb(Site& site) override
    {
        if (!site.world.random.chance(5))
            return;
        core::JobRequest job = commandJob("odd");
        if (site.world.random.chance(70))
            job.steps.front().spec.placement.system = "vax-netbsd";
        else
            job.steps.front().spec.resources.named = {{"unobtainium", 1}};
        std::vector<core::JobRequest> jobs;
        jobs.push_back(std::move(job));
        site.submit(std::move(jobs));
    }
};

} // namespace

std::unique_ptr<Workload> unsupported()
{
    return std::make_unique<Unsupported>();
}

} // namespace penstock::sim
