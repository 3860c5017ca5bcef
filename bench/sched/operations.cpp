// SPDX-License-Identifier: GPL-3.0-or-later
// E. Single operations on a large farm: a DAG of 200,000 steps comes in under 1 s; with 10^6 steps queued, a
// job or a share group of 100,000 steps is bumped, held, cancelled or given other shares in under 50 ms, and
// `why` takes 1 ms.
#include "bench/sched/bed.h"
#include "bench/sched/cpu_time.h"
#include "bench/sched/suites.h"
#include "tests/support/workload_requests.h"

#include <algorithm>
#include <fmt/format.h>
#include <functional>
#include <memory>

namespace penstock::bench {
namespace {

const std::string kSection = "E operations";

void timed(Report& report, const std::string& name, double milliseconds, double limit)
{
    report.add({kSection, name, milliseconds, "ms", Gate::Reported, Budget::AtMost, limit});
}

double milliseconds(const std::function<void()>& work)
{
    const double begin = cpuSeconds();
    work();
    return (cpuSeconds() - begin) * 1e3;
}

void insertDag(Report& report, std::size_t steps, std::uint64_t seed)
{
    const test::Evaluation evaluation = test::largeEvaluation(steps, seed);
    double best = 1e9;
    for (int i = 0; i < 3; ++i) {
        Bed bed;
        core::SubmitJobs submit{RequestId(1), {}};
        submit.jobs.push_back(test::jobOf(evaluation, 0));
        bed.apply(std::move(submit));
        best = std::min(best, bed.lastSeconds() * 1e3);
        if (!bed.refusal().empty())
            report.broken(kSection, "a request was refused: " + bed.refusal());
    }
    timed(report, fmt::format("insert one DAG of {} steps", steps), best, 1'000);
}

// A job of so many steps, all ready.
JobId addWide(Bed& bed, std::size_t steps, const std::string& group)
{
    core::SubmitJobs submit{RequestId(1), {}};
    test::CommandSettings settings;
    settings.name = "wide";
    settings.shareGroup = group;
    settings.system = "x86_64-linux";
    core::JobRequest job = test::commandJob(settings);
    while (job.steps.size() < steps)
        job.steps.push_back(test::commandStep(settings));
    submit.jobs.push_back(std::move(job));
    bed.apply(std::move(submit));
    return bed.jobs().front();
}

void addNarrow(Bed& bed, std::size_t steps, const std::string& group)
{
    for (std::size_t left = steps; left > 0;) {
        core::SubmitJobs submit{RequestId(1), {}};
        test::CommandSettings settings;
        settings.shareGroup = group;
        settings.system = "x86_64-linux";
        for (; left > 0 && submit.jobs.size() < 1'000; --left)
            submit.jobs.push_back(test::commandJob(settings));
        bed.apply(std::move(submit));
    }
}

// The median and the slowest of `why` for jobs all over the queue.
void explain(Report& report, Bed& bed, const std::vector<JobId>& jobs)
{
    std::vector<double> times;
    for (int i = 0; i < 25; ++i)
        for (const JobId job : jobs)
            times.push_back(milliseconds([&] {
                const auto answer = bed.core().explain(job, 10, bed.now());
                if (!answer || answer->steps.empty())
                    report.broken(kSection, fmt::format("no explanation of job {}", job.value()));
            }));
    std::sort(times.begin(), times.end());
    timed(report, "explain a job of the queue, ten steps: median", times[times.size() / 2], 1);
    timed(report, "explain a job of the queue, ten steps: slowest of many", times.back(), 1);
}

} // namespace

void operations(Report& report, const SuiteSettings& settings)
{
    const std::size_t queued = settings.quick ? 100'000 : 1'000'000;
    const std::size_t part = queued / 10;
    insertDag(report, queued / 5, settings.seed);
    core::CoreOptions options;
    options.policy.room = sched::MachineFree::Static;
    const auto bed = std::make_unique<Bed>(options);
    for (std::size_t i = 0; i < 40; ++i)
        bed->addMachine(test::machineFacts(fmt::format("m{}", i), 8, 8));
    for (std::size_t i = 0; i < 5; ++i)
        addNarrow(*bed, part, fmt::format("crowd-{}", i));
    std::vector<JobId> jobs = bed->jobs();
    jobs.erase(jobs.begin() + 5, jobs.end());
    const JobId wide = addWide(*bed, part, "wide");
    const JobId other = addWide(*bed, part, "other");
    for (std::size_t i = 0; i < 3; ++i)
        jobs.push_back(addWide(*bed, part, fmt::format("more-{}", i)));
    // What had no effect has no time.
    const auto operation = [&](const std::string& name, core::Event event,
                               const std::function<bool()>& isDone) {
        bed->apply(std::move(event));
        if (isDone())
            timed(report, fmt::format("{} ({} steps, {} queued)", name, part, queued),
                  bed->lastSeconds() * 1e3, 50);
        else
            report.broken(kSection, name + ": had no effect");
    };
    const auto hasShares = [&](const std::string& group) {
        const auto shares = bed->core().shares(bed->now());
        return std::any_of(shares.begin(), shares.end(), [&group](const core::ShareView& share) {
            return share.group == group && share.shares == 300;
        });
    };
    const auto progress = [&](JobId job) {
        const auto view = bed->core().job(job);
        return view ? view->progress : work::JobProgress{};
    };
    explain(report, *bed, jobs);
    operation("other shares for a group of one job", core::SetShares{RequestId(2), {"other", 300}},
              [&] { return hasShares("other"); });
    operation("other shares for a group of single steps", core::SetShares{RequestId(3), {"crowd-1", 300}},
              [&] { return hasShares("crowd-1"); });
    operation("bump a job", core::BumpJob{RequestId(4), wide, true},
              [&] { return progress(wide).bumped.has_value(); });
    operation("take the bump back", core::BumpJob{RequestId(5), wide, false},
              [&] { return bed->refusal().empty() && !progress(wide).bumped; });
    operation("hold a job", core::HoldJob{RequestId(6), other, true, "bench"},
              [&] { return progress(other).held; });
    operation("release it", core::HoldJob{RequestId(7), other, false, ""},
              [&] { return bed->refusal().empty() && !progress(other).held; });
    operation("cancel a job", core::CancelJob{RequestId(8), other, "bench"},
              [&] { return progress(other).result == work::StepResult::Cancelled; });
    report.note(kSection, "count everything for the state of the farm (totals)",
                milliseconds([&] { static_cast<void>(bed->core().totals()); }), "ms");
    if (!bed->refusal().empty())
        report.broken(kSection, "a request was refused: " + bed->refusal());
}

} // namespace penstock::bench
