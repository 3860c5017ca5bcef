// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/workloads/workload.h"

namespace penstock::sim {
namespace {

class Bursts final : public QuietWorkload {
    void disturb(Site& site) override
    {
        Random& random = site.world.random;
        if (!random.chance(2))
            return;
        const std::string name = fmt::format("burst{}", ++m_count);
        // Short ones, so that many end and start in one batch.
        site.truths[name] = {std::chrono::milliseconds(50), std::chrono::seconds(random.between(1, 4))};
        std::vector<core::JobRequest> jobs;
        for (std::uint64_t i = random.between(20, 100); i > 0; --i)
            jobs.push_back(commandJob(name));
        site.world.reach("burst");
        site.submit(std::move(jobs));
    }
    std::uint64_t m_count = 0;
};

} // namespace

std::unique_ptr<Workload> bursts()
{
    return std::make_unique<Bursts>();
}

} // namespace penstock::sim
