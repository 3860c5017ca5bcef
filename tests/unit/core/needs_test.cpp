// SPDX-License-Identifier: GPL-3.0-or-later
// What is handed down the graph, against a computation from nothing and in edges looked at.
#include "server/core/detail/needs.h"

#include <gtest/gtest.h>
#include <map>
#include <random>
#include <vector>

namespace penstock::core::detail {
namespace {

using Outcome = work::Dag::Outcome;

struct Handed : ::testing::Test {
    struct Job {
        std::uint64_t bump = UINT64_MAX;
        std::int32_t priority = 0;
        sched::ShareIndex share = 1;
        work::Limits limits = {};
    };

    void add(std::uint64_t id, const std::vector<std::uint64_t>& below)
    {
        dag.add(StepId(id), Outcome::Open);
        steps.emplace_back(id);
        for (const std::uint64_t each : below)
            dag.addDependency(StepId(id), StepId(each));
    }
    [[nodiscard]] Needs::Claim claimOf(std::uint64_t id) const
    {
        const Job& job = jobs.at(id);
        return {JobId(id), job.bump, job.priority, job.share, &job.limits};
    }
    void claim(std::uint64_t step, std::uint64_t id)
    {
        dag.addUser(StepId(step), JobId(id));
        needs.claim(dag, StepId(step), claimOf(id));
    }
    // The job claims it no more.
    void leave(std::uint64_t step, std::uint64_t id)
    {
        dag.removeUser(StepId(step), JobId(id));
        needs.worsen(dag, StepId(step));
    }
    std::vector<StepId> settle()
    {
        static_cast<void>(dag.settle());
        const Needs::ClaimsOf claims = [this](StepId step, const auto& visit) {
            for (const JobId user : dag.users(step))
                visit(claimOf(user.value()));
        };
        std::vector<StepId> changed = needs.settle(dag, claims);
        const auto checked = needs.check(dag, steps, claims);
        EXPECT_TRUE(checked.has_value()) << (checked ? "" : checked.error().message);
        return changed;
    }
    // Edges that a settle() looks at, without the check.
    std::uint64_t edgesOfSettle()
    {
        static_cast<void>(dag.settle());
        const std::uint64_t before = needs.edgesLookedAt();
        static_cast<void>(needs.settle(dag, [this](StepId step, const auto& visit) {
            for (const JobId user : dag.users(step))
                visit(claimOf(user.value()));
        }));
        return needs.edgesLookedAt() - before;
    }
    Needs::View of(std::uint64_t step) { return needs.of(dag, StepId(step)); }
    static std::vector<sched::ShareIndex> sharesOf(const Needs::View& view)
    {
        return {view.shares.begin(), view.shares.end()};
    }

    work::Dag dag;
    Needs needs;
    std::map<std::uint64_t, Job> jobs;
    std::vector<StepId> steps;
};

TEST_F(Handed, DownIsTheBestOfAllAbove)
{
    jobs[1] = {.bump = 9, .priority = 1, .share = 5, .limits = {.timeout = std::chrono::hours(1), .maxLogBytes = 7}};
    jobs[2] = {.bump = 4, .priority = -3, .share = 2, .limits = {.timeout = std::chrono::hours(2)}};
    add(1, {});
    add(2, {1});
    add(3, {1});
    claim(2, 2);
    claim(3, 1);
    EXPECT_EQ(settle(), std::vector<StepId>{StepId(1)}); // the others wait for it
    EXPECT_EQ(sharesOf(of(1)), (std::vector<sched::ShareIndex>{2, 5}));
    EXPECT_EQ(of(1).bump, 4U);
    EXPECT_EQ(of(1).age, 1U);
    EXPECT_EQ(of(1).priority, 1);
    EXPECT_EQ(of(1).limits->timeout, std::chrono::hours(2));
    EXPECT_EQ(of(1).limits->maxLogBytes, 0U); // one of them has none
    EXPECT_EQ(sharesOf(of(2)), std::vector<sched::ShareIndex>{2});
    EXPECT_TRUE(settle().empty());
}

TEST_F(Handed, BackIsWhatAJobTakesWithIt)
{
    jobs[1] = {.bump = 9};
    jobs[2] = {.bump = 4, .share = 2};
    add(1, {});
    add(2, {1});
    add(3, {1});
    claim(2, 1);
    claim(3, 2);
    static_cast<void>(settle());
    leave(3, 2);
    EXPECT_EQ(settle(), std::vector<StepId>{StepId(1)});
    EXPECT_EQ(of(1).bump, 9U);
    EXPECT_EQ(sharesOf(of(1)), std::vector<sched::ShareIndex>{1});
    EXPECT_TRUE(of(3).shares.empty());
    leave(2, 1);
    static_cast<void>(settle());
    EXPECT_TRUE(of(1).shares.empty());
}

TEST_F(Handed, BackAndDownInOneGoIsWhatIsTrueAtItsEnd)
{
    jobs[1] = {.bump = 9};
    jobs[2] = {.bump = 4};
    add(1, {});
    add(2, {1});
    claim(2, 1);
    static_cast<void>(settle());
    claim(2, 2);
    leave(2, 2);
    static_cast<void>(settle());
    EXPECT_EQ(of(1).bump, 9U);
    jobs[1].bump = UINT64_MAX;
    needs.worsen(dag, StepId(2));
    jobs[1].bump = 3;
    needs.claim(dag, StepId(2), claimOf(1));
    static_cast<void>(settle());
    EXPECT_EQ(of(1).bump, 3U);
}

TEST_F(Handed, BackWithoutADifferenceIsToldOfTheStepAlone)
{
    jobs[1] = {};
    jobs[2] = {};
    add(1, {});
    add(2, {});
    add(3, {1, 2});
    claim(3, 1);
    claim(2, 2);
    static_cast<void>(settle());
    leave(2, 2);
    EXPECT_EQ(settle(), std::vector<StepId>{StepId(2)});
}

TEST_F(Handed, ByADependentThatEndedIsNothingAnyMore)
{
    jobs[1] = {.bump = 4, .share = 7};
    jobs[2] = {};
    add(1, {});
    add(2, {1});
    add(3, {1});
    claim(2, 1);
    claim(3, 2);
    static_cast<void>(settle());
    dag.finishAlone(StepId(2));
    needs.clear(dag, StepId(2));
    for (const StepId left : dag.takeLeft())
        needs.worsen(dag, left);
    EXPECT_EQ(settle(), std::vector<StepId>{StepId(1)});
    EXPECT_EQ(of(1).bump, UINT64_MAX);
    EXPECT_EQ(sharesOf(of(1)), std::vector<sched::ShareIndex>{1});
}

TEST_F(Handed, WhatIsNoBetterCostsOnlyTheFirstEdges)
{
    constexpr std::uint64_t kLong = 1'000;
    jobs[1] = {.bump = 5};
    jobs[2] = {.bump = 6};
    add(1, {});
    for (std::uint64_t id = 2; id <= kLong; ++id)
        add(id, {id - 1});
    claim(kLong, 1);
    EXPECT_EQ(edgesOfSettle(), kLong - 1);
    add(kLong + 1, {kLong, 1});
    claim(kLong + 1, 2);
    EXPECT_EQ(edgesOfSettle(), 2U);
    jobs[2].bump = 4;
    needs.claim(dag, StepId(kLong + 1), claimOf(2));
    EXPECT_EQ(edgesOfSettle(), kLong + 1);
}

// However many roots are bumped at once, or bumped back, each edge below is looked at a few times.
TEST_F(Handed, ManyRootsCostTheirGraphOnce)
{
    constexpr std::uint64_t kLayers = 100;
    constexpr std::uint64_t kWide = 30;
    std::uint64_t edges = 0;
    for (std::uint64_t layer = 0; layer < kLayers; ++layer)
        for (std::uint64_t at = 0; at < kWide; ++at) {
            std::vector<std::uint64_t> below;
            for (std::uint64_t each = 0; layer > 0 && each < kWide; each += 5)
                below.push_back((layer - 1) * kWide + each + 1 + at % 5);
            edges += below.size();
            add(layer * kWide + at + 1, below);
        }
    for (std::uint64_t at = 0; at < kWide; ++at) {
        jobs[at + 1] = {};
        claim((kLayers - 1) * kWide + at + 1, at + 1);
    }
    EXPECT_EQ(edgesOfSettle(), edges);
    for (auto& [id, job] : jobs) {
        job.bump = 1'000 - id; // each newer than the one before
        needs.claim(dag, StepId((kLayers - 1) * kWide + id), claimOf(id));
    }
    EXPECT_EQ(edgesOfSettle(), edges);
    for (auto& [id, job] : jobs) {
        job.bump = UINT64_MAX;
        needs.worsen(dag, StepId((kLayers - 1) * kWide + id));
    }
    EXPECT_LE(edgesOfSettle(), 2 * edges);
}

TEST_F(Handed, AgreesWithAComputationFromNothingWhateverHappens)
{
    std::mt19937_64 random(7);
    const auto below = [&random](std::uint64_t bound) { return random() % bound; };
    std::uint64_t next = 1;
    std::uint64_t nextJob = 1;
    std::map<std::uint64_t, std::vector<std::uint64_t>> claimed; // by job
    for (int round = 0; round < 300; ++round) {
        for (std::uint64_t some = below(4); some > 0; --some) {
            std::vector<std::uint64_t> under;
            for (const StepId step : steps)
                if (dag.outcome(step) == Outcome::Open && below(6) == 0)
                    under.push_back(step.value());
            add(next++, under);
        }
        for (std::uint64_t some = below(5); some > 0; --some) {
            const std::uint64_t pick = below(4);
            if (pick == 0 && !steps.empty()) {
                const StepId step = steps[below(steps.size())];
                if (dag.outcome(step) != Outcome::Open)
                    continue;
                jobs[nextJob] = {.bump = below(5) + 1,
                                 .priority = static_cast<std::int32_t>(below(5)),
                                 .share = static_cast<sched::ShareIndex>(below(4)),
                                 .limits = {.maxLogBytes = below(3)}};
                claim(step.value(), nextJob);
                claimed[nextJob++].push_back(step.value());
            } else if (pick == 1 && !claimed.empty()) {
                const auto job = std::next(claimed.begin(), static_cast<std::ptrdiff_t>(below(claimed.size())));
                for (const std::uint64_t step : job->second)
                    if (dag.outcome(StepId(step)) == Outcome::Open)
                        leave(step, job->first);
                    else
                        dag.removeUser(StepId(step), JobId(job->first));
                claimed.erase(job);
            } else if (pick == 2 && !claimed.empty()) {
                const auto job = std::next(claimed.begin(), static_cast<std::ptrdiff_t>(below(claimed.size())));
                const std::uint64_t was = std::exchange(jobs[job->first].bump, below(5) + 1);
                for (const std::uint64_t step : job->second)
                    if (dag.outcome(StepId(step)) != Outcome::Open)
                        continue;
                    else if (jobs[job->first].bump <= was)
                        needs.claim(dag, StepId(step), claimOf(job->first));
                    else
                        needs.worsen(dag, StepId(step));
            } else if (pick == 3 && !steps.empty()) {
                const StepId step = steps[below(steps.size())];
                if (dag.outcome(step) != Outcome::Open)
                    continue;
                const bool isGood = dag.waitsFor(step) == 0 && below(2) == 0;
                for (const auto& failed : dag.finish(step, isGood).failed)
                    needs.clear(dag, failed.step);
                needs.clear(dag, step);
                for (const StepId left : dag.takeLeft())
                    if (dag.outcome(left) == Outcome::Open)
                        needs.worsen(dag, left);
            }
        }
        static_cast<void>(settle());
    }
    EXPECT_GT(nextJob, 30U);
}

} // namespace
} // namespace penstock::core::detail
