// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/feed_records.h"

#include "tests/support/workload_requests.h"

#include <gtest/gtest.h>

namespace penstock::app {
namespace {

TEST(Reasons, AreToldOfANamedStepHoweverLateItComesInALargeJob)
{
    const Now now{{std::chrono::hours(1)}, WallTime::fromMicros(1'700'000'000'000'000)};
    core::FarmCore farm{core::CoreOptions{}};
    core::JobRequest job = test::commandJob({});
    while (job.steps.size() < 1'500)
        job.steps.push_back(test::commandStep({}));
    core::SubmitJobs submit{RequestId(1), {}};
    submit.jobs.push_back(std::move(job));
    std::vector<core::Event> batch;
    batch.emplace_back(std::move(submit));
    static_cast<void>(farm.consume(batch, now));

    const JobId id = farm.newestJobs(false, 1).at(0);
    const std::vector<StepId> steps = farm.stepsOf(id);
    feed::ExplainQuestion question;
    question.job = id;
    question.limit = 50;
    question.step = steps.at(1'499);
    const Result<feed::JobReasons> named = reasonsOf(farm, question, now);
    ASSERT_EQ(named->steps.size(), 1U);
    EXPECT_EQ(named->steps.at(0).step, steps.at(1'499));
    EXPECT_FALSE(named->steps.at(0).reasons.empty());
    question.step.reset();
    const Result<feed::JobReasons> first = reasonsOf(farm, question, now);
    EXPECT_EQ(first->steps.size(), 50U);
    EXPECT_EQ(first->more, 1'450U);
}

} // namespace
} // namespace penstock::app
