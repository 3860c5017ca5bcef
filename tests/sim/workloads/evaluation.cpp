// SPDX-License-Identifier: GPL-3.0-or-later
// One evaluation with the shape and the durations of a package set, which are scaled so that it fits the run.
#include "tests/sim/workloads/workload.h"
#include "tests/support/workload_requests.h"

namespace penstock::sim {
namespace {

constexpr std::size_t kSteps = 2'000;
constexpr std::size_t kLargeSteps = 100'000;
constexpr std::int64_t kFaster = 10; // than real builds
constexpr std::uint32_t kNumber = 1;

class LargeEvaluation final : public QuietWorkload {
    void prepare(Plan& plan, Random& random) override
    {
        // A farm that gets through it: as many machines as the run has, with many slots.
        const std::uint32_t slots = plan.isLarge ? 128 : 32;
        for (protocol::MachineFacts& machine : plan.machines) {
            machine.maxJobs = machine.cores = slots;
            machine.thresholds = {};
        }
        plan.options.finishedJobsKept = random.between(0, 2);
        plan.options.visitsPerPass = 20'000;
    }
    void begin(Site& site) override
    {
        const std::size_t steps =
            site.plan.isLarge ? kLargeSteps : kSteps - site.world.random.between(0, 500);
        const test::Evaluation all = test::largeEvaluation(steps, site.world.random.next());
        for (const test::TrueStep& step : all.steps)
            site.truths[step.name] = {step.duration / kFaster, step.duration / kFaster};
        core::JobRequest job = test::jobOf(all, kNumber);
        for (core::StepRequest& step : job.steps)
            step.spec.placement.system.clear();
        std::vector<core::JobRequest> jobs;
        jobs.push_back(std::move(job));
        site.submit(std::move(jobs));
        site.server.checkEvery(steps / 25); // the core keeps all of it to the end
        site.world.reach("evaluation");
    }
};

} // namespace

std::unique_ptr<Workload> evaluation()
{
    return std::make_unique<LargeEvaluation>();
}

} // namespace penstock::sim
