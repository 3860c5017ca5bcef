// SPDX-License-Identifier: GPL-3.0-or-later
// People at the controls: bumps, holds, pauses, shares, thresholds, trust, removals, at random.
#include "tests/sim/workloads/workload.h"

namespace penstock::sim {
namespace {

using std::chrono::seconds;

class Operators final : public QuietWorkload {
    void disturb(Site& site) override
    {
        Random& random = site.world.random;
        if (random.chance(20))
            site.order("bump", core::BumpJob{RequestId(0), site.anyJob(), random.chance(80)});
        if (random.chance(5))
            site.order("bumps", core::BumpJobs{RequestId(0), someBumps(site)});
        if (random.chance(10))
            hold(site);
        if (random.chance(2))
            pause(site);
        if (random.chance(8)) {
            work::ShareGroupRow row{fmt::format("group{}", random.between(0, 4)),
                                    static_cast<std::uint32_t>(random.between(0, 300))};
            site.order("shares", core::SetShares{RequestId(0), std::move(row)});
        }
        const std::string machine = fmt::format("m{}", random.between(0, 5));
        if (random.chance(8))
            site.order("thresholds", core::SetThresholds{RequestId(0), machine, randomThresholds(random)});
        if (random.chance(3))
            site.order("trust", core::TrustMachine{RequestId(0), machine});
        if (random.chance(10))
            site.order("remove", core::RemoveMachine{RequestId(0), machine});
    }
    void heal(Site& site) override
    {
        site.order("pause", core::PauseDispatch{RequestId(0), false, "ann", ""});
        for (const auto& builder : site.builders)
            site.order("thresholds", core::SetThresholds{RequestId(0), builder->facts().name, {}});
        for (const JobId job : m_held)
            site.order("hold", core::HoldJob{RequestId(0), job, false, ""});
    }
    static std::vector<core::BumpJobs::Order> someBumps(Site& site)
    {
        std::vector<core::BumpJobs::Order> orders;
        for (std::uint64_t left = site.world.random.between(1, 6); left > 0; --left) {
            std::optional<WallTime> at;
            if (site.world.random.chance(70))
                at = WallTime::fromMicros(static_cast<std::int64_t>(site.world.random.between(1, 9)));
            orders.push_back({site.anyJob(), at});
        }
        return orders;
    }
    void hold(Site& site)
    {
        const JobId job = site.anyJob();
        m_held.insert(job);
        site.order("hold", core::HoldJob{RequestId(0), job, true, "ann wants to look"});
        site.world.after(site.world.random.duration(seconds(1), seconds(30)), [&site, job] {
            site.order("hold", core::HoldJob{RequestId(0), job, false, ""});
        });
    }
    static void pause(Site& site)
    {
        site.order("pause", core::PauseDispatch{RequestId(0), true, "ann", "works on the network"});
        site.world.after(site.world.random.duration(seconds(1), seconds(10)), [&site] {
            site.order("pause", core::PauseDispatch{RequestId(0), false, "ann", ""});
        });
    }
    static work::ThresholdOverrides randomThresholds(Random& random)
    {
        work::ThresholdOverrides limits;
        if (random.chance(40))
            limits.load1 = static_cast<double>(random.between(0, 6));
        if (random.chance(40))
            limits.cpuPsi = static_cast<double>(random.between(0, 80));
        if (random.chance(30))
            limits.memoryPsi = static_cast<double>(random.between(0, 10));
        if (random.chance(30))
            limits.minFreeDiskBytes = random.between(0, 60) << 30U;
        return limits;
    }
    std::set<JobId> m_held;
};

} // namespace

std::unique_ptr<Workload> operations()
{
    return std::make_unique<Operators>();
}

} // namespace penstock::sim
