// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/site.h"

#include <algorithm>

namespace penstock::sim {

using std::chrono::seconds;

void Site::addBuilders()
{
    const auto add = [this](std::size_t identity, const protocol::MachineFacts& facts) {
        builders.push_back(
            std::make_unique<SimBuilder>(server, truths, fmt::format("{:032x}", identity), facts));
        ledger.rules().machineIs(builders.back()->identity(), facts);
    };
    for (std::size_t i = 0; i < plan.machines.size(); ++i) {
        add(i + 1, plan.machines[i]);
        BuilderQuirks& quirks = builders.back()->quirks;
        quirks.longest = seconds(static_cast<std::int64_t>(world.random.between(1, 40)));
        if (plan.isCalm) {
            quirks.failPercent = quirks.infrastructurePercent = quirks.transientPercent =
                quirks.rejectPercent = 0;
            continue;
        }
        quirks.lies = plan.faults.builders && i == 1 && world.random.chance(40);
        if (quirks.lies)
            ledger.distrust(builders.back()->identity());
        quirks.infrastructurePercent = world.random.chance(10) ? 90 : 3;
    }
    if (plan.faults.blackHole) {
        SimBuilder& last = *builders.back();
        last.quirks.isBlackHole = true;
        ledger.rules().fails(last.identity());
    }
    if (plan.faults.duplicate) {
        protocol::MachineFacts facts = plan.machines.front();
        facts.maxJobs = facts.cores = static_cast<std::uint32_t>(world.random.between(1, 4));
        add(1, facts);
    }
    for (const auto& builder : builders)
        builder->start();
}

void Site::submit(std::vector<core::JobRequest> jobs)
{
    server.order(core::SubmitJobs{RequestId(0), std::move(jobs)}, [this](const auto& answer) {
        if (!answer)
            return world.reach(fmt::format("submit.{}", toString(answer.error().code)));
        const std::vector<JobId>& ids = std::get<core::Submitted>(*answer).jobs;
        ledger.acknowledged(ids);
        known.insert(known.end(), ids.begin(), ids.end());
    });
}

JobId Site::anyJob()
{
    constexpr std::uint64_t kRecent = 12;
    if (known.empty())
        return JobId(1);
    const std::uint64_t back = world.random.between(1, std::min<std::uint64_t>(known.size(), kRecent));
    return world.random.chance(80) ? known[known.size() - back]
                                   : known[world.random.between(0, known.size() - 1)];
}

} // namespace penstock::sim
