// SPDX-License-Identifier: GPL-3.0-or-later
// Jobs that claim only their roots, over one graph of derivations that all of them share, as evaluations of a package
// set do: some list all that is below, some refer to what they believe to be live.
#include "tests/sim/workloads/workload.h"

#include <set>

namespace penstock::sim {
namespace {

using std::chrono::seconds;

constexpr std::uint64_t kNames = 60;

class SharedGraph final : public QuietWorkload {
    void begin(Site& site) override
    {
        for (std::uint64_t name = 0; name < kNames; ++name) {
            Node& node = m_graph.emplace_back();
            for (std::uint64_t below = name > 12 ? name - 12 : 0; below < name; ++below)
                if (site.world.random.chance(20))
                    node.below.push_back(below);
            node.reveals = site.world.random.chance(20);
        }
    }
    void disturb(Site& site) override
    {
        Random& random = site.world.random;
        if (!random.chance(35))
            return;
        std::vector<core::JobRequest> jobs;
        std::set<std::uint64_t> made; // by the jobs before, in the same submission
        for (std::uint64_t i = random.between(1, 4); i > 0; --i)
            jobs.push_back(job(random, made));
        const bool refers = m_refers;
        m_refers = false;
        site.server.order(core::SubmitJobs{RequestId(0), std::move(jobs)}, [this, &site, refers](const auto& answer) {
            if (!answer) {
                if (answer.error().code == ErrorCode::Conflict) {
                    site.world.reach("roots.reference_refused");
                    m_believed.clear();
                }
                return;
            }
            if (refers)
                site.world.reach("roots.referred");
            const std::vector<JobId>& ids = std::get<core::Submitted>(*answer).jobs;
            site.ledger.acknowledged(ids);
            site.known.insert(site.known.end(), ids.begin(), ids.end());
        });
    }

    struct Node {
        std::vector<std::uint64_t> below;
        bool reveals = false;
    };

    [[nodiscard]] core::JobRequest job(Random& random, std::set<std::uint64_t>& made)
    {
        core::JobRequest job;
        job.spec.name = "r";
        job.spec.user = "ann";
        job.spec.shareGroup = fmt::format("set{}", random.between(0, 3));
        job.spec.priority = static_cast<std::int32_t>(random.between(0, 2));
        job.claims = random.chance(90) ? core::Claims::Roots : core::Claims::All;
        if (random.chance(10))
            job.bumped = WallTime::fromMicros(static_cast<std::int64_t>(random.between(1, 1'000)));
        std::map<std::uint64_t, std::uint32_t> placed;
        const std::uint64_t roots = random.chance(20) ? 2 : 1;
        for (std::uint64_t i = 0; i < roots; ++i)
            job.steps.at(place(random.between(0, kNames - 1), job, placed, random)).root = true;
        for (const auto& [name, index] : placed)
            if (!job.steps[index].isReference)
                made.insert(name);
        m_believed.insert(made.begin(), made.end());
        return job;
    }

    std::uint32_t place(std::uint64_t name, core::JobRequest& job, std::map<std::uint64_t, std::uint32_t>& placed,
                        Random& random)
    {
        if (const auto found = placed.find(name); found != placed.end())
            return found->second;
        core::StepRequest step = stepOf(name);
        if (m_believed.contains(name) && random.chance(50))
            step.isReference = m_refers = true;
        else
            for (const std::uint64_t below : m_graph[name].below)
                step.dependsOn.push_back(place(below, job, placed, random));
        const auto index = static_cast<std::uint32_t>(job.steps.size());
        job.steps.push_back(std::move(step));
        placed.emplace(name, index);
        return index;
    }

    [[nodiscard]] core::StepRequest stepOf(std::uint64_t name) const
    {
        core::StepRequest step;
        step.root = false;
        step.spec.name = fmt::format("g{}", name);
        step.spec.placement.executor = "nix";
        step.spec.placement.user = "ann";
        step.spec.retry = {.retries = 1, .initial = seconds(1), .factor = 3, .max = seconds(5), .jitterPercent = 10};
        const std::string path = fmt::format("/nix/store/g{}", name);
        step.spec.work = std::make_shared<const work::Work>(
            work::NixWork{path + ".drv", {}, {}, {{"out", m_graph[name].reveals ? std::string() : path}}});
        return step;
    }

    std::vector<Node> m_graph;
    std::set<std::uint64_t> m_believed; // to be live: some are not any more
    bool m_refers = false;
};

} // namespace

std::unique_ptr<Workload> sharedGraph()
{
    return std::make_unique<SharedGraph>();
}

} // namespace penstock::sim
