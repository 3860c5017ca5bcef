// SPDX-License-Identifier: GPL-3.0-or-later
// Concurrency groups and quotas of namespaces, which change under way. That they hold is checked by
// StartRules.
#include "tests/sim/workloads/workload.h"

namespace penstock::sim {
namespace {

class Limited final : public QuietWorkload {
    void begin(Site& site) override { setLimits(site); }
    void disturb(Site& site) override
    {
        Random& random = site.world.random;
        if (random.chance(5))
            setLimits(site);
        if (!random.chance(40))
            return;
        const std::string nameSpace = fmt::format("space{}", random.between(0, 2));
        std::vector<core::JobRequest> jobs;
        for (std::uint64_t i = random.between(1, 5); i > 0; --i) {
            core::JobRequest job = commandJob("limited");
            job.spec.nameSpace = nameSpace;
            if (random.chance(50)) {
                job.spec.concurrencyLimit = static_cast<std::uint32_t>(random.between(1, 2));
                job.spec.concurrencyGroup = fmt::format("of{}", job.spec.concurrencyLimit);
            }
            job.steps.front().spec.resources.cpus = static_cast<std::uint32_t>(random.between(0, 1));
            jobs.push_back(std::move(job));
        }
        site.submit(std::move(jobs));
    }
    void heal(Site& site) override
    {
        for (std::uint64_t i = 0; i < 3; ++i) // nothing asks for more than this
            site.order("namespace", core::SetNamespace{RequestId(0), {fmt::format("space{}", i), 0, 0, 4}});
    }
    static void setLimits(Site& site)
    {
        Random& random = site.world.random;
        const auto some = [&random](std::uint64_t low, std::uint64_t high) {
            return random.chance(30) ? 0U : static_cast<std::uint32_t>(random.between(low, high));
        };
        for (std::uint64_t i = 0; i < 3; ++i) {
            work::NamespaceRow row{fmt::format("space{}", i), some(1, 5), some(5, 30), some(1, 5)};
            site.order("namespace", core::SetNamespace{RequestId(0), std::move(row)});
        }
    }
};

} // namespace

std::unique_ptr<Workload> limits()
{
    return std::make_unique<Limited>();
}

} // namespace penstock::sim
