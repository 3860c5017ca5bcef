// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/work/dag.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <map>
#include <set>

namespace penstock::work {
namespace {

using Outcome = Dag::Outcome;

Dag diamond() // 4 needs 2 and 3, both need 1
{
    Dag dag;
    for (std::uint64_t id = 1; id <= 4; ++id)
        dag.add(StepId(id), Outcome::Open);
    dag.addDependency(StepId(2), StepId(1));
    dag.addDependency(StepId(3), StepId(1));
    dag.addDependency(StepId(4), StepId(2));
    dag.addDependency(StepId(4), StepId(3));
    return dag;
}

Result<std::vector<std::uint32_t>> orderOf(const std::vector<std::vector<std::uint32_t>>& edges)
{
    std::vector<const std::vector<std::uint32_t>*> view;
    for (const auto& list : edges)
        view.push_back(&list);
    return topologicalOrder(view);
}

TEST(Dag, MakesAStepReadyWithItsLastDependency)
{
    Dag dag = diamond();
    EXPECT_EQ(dag.finish(StepId(1), true).ready, (std::vector<StepId>{StepId(2), StepId(3)}));
    EXPECT_TRUE(dag.finish(StepId(2), true).ready.empty());
    EXPECT_EQ(dag.finish(StepId(3), true).ready, std::vector<StepId>{StepId(4)});
    EXPECT_TRUE(dag.check());
}

TEST(Dag, FailsEachDependentOnceAndNamesWhereItBegan)
{
    Dag dag = diamond();
    const Dag::Consequences after = dag.finish(StepId(1), false);
    EXPECT_TRUE(after.ready.empty());
    ASSERT_EQ(after.failed.size(), 3U);
    for (const Dag::Failed& failed : after.failed)
        EXPECT_EQ(failed.dependency, StepId(1));
    EXPECT_EQ(after.failed.back().step, StepId(4));
    EXPECT_TRUE(dag.check());
}

TEST(Dag, LetsTheOtherBranchGoOnAfterAFailure)
{
    Dag dag = diamond();
    static_cast<void>(dag.finish(StepId(1), true));
    EXPECT_EQ(dag.finish(StepId(2), false).failed.size(), 1U);
    const Dag::Consequences after = dag.finish(StepId(3), true);
    EXPECT_TRUE(after.ready.empty());
    EXPECT_TRUE(after.failed.empty());
    EXPECT_TRUE(dag.check());
}

TEST(Dag, AChainOfAHundredThousandFailsWithoutRecursion)
{
    Dag dag;
    dag.add(StepId(1), Outcome::Open);
    for (std::uint64_t id = 2; id <= 100'000; ++id) {
        dag.add(StepId(id), Outcome::Open);
        dag.addDependency(StepId(id), StepId(id - 1));
    }
    EXPECT_EQ(dag.finish(StepId(1), false).failed.size(), 99'999U);
}

TEST(Dag, ReopensAndWaitsAnew)
{
    Dag dag = diamond();
    static_cast<void>(dag.finish(StepId(1), false));
    for (std::uint64_t id = 1; id <= 4; ++id)
        dag.reopen(StepId(id));
    EXPECT_EQ(dag.waitsFor(StepId(4)), 2U);
    EXPECT_EQ(dag.finish(StepId(1), true).ready.size(), 2U);
    EXPECT_TRUE(dag.check());
}

TEST(Dag, RemovesStepsAndTheirEdges)
{
    Dag dag = diamond();
    static_cast<void>(dag.finish(StepId(1), true));
    static_cast<void>(dag.finish(StepId(2), true));
    const std::vector<StepId> gone{StepId(1), StepId(2)};
    dag.remove(gone);
    EXPECT_EQ(dag.size(), 2U);
    EXPECT_EQ(dag.dependencies(StepId(4)).size(), 1U);
    EXPECT_TRUE(dag.check());
    EXPECT_EQ(dag.finish(StepId(3), true).ready, std::vector<StepId>{StepId(4)});
}

TEST(Dag, KnowsItsUsersAndKeys)
{
    Dag dag = diamond();
    dag.addUser(StepId(1), JobId(1));
    dag.addUser(StepId(1), JobId(1));
    EXPECT_EQ(dag.users(StepId(1)).size(), 1U);
    dag.addUser(StepId(1), JobId(2));
    dag.addUser(StepId(1), JobId(3));
    dag.removeUser(StepId(1), JobId(1));
    dag.removeUser(StepId(1), JobId(2));
    ASSERT_EQ(dag.users(StepId(1)).size(), 1U);
    EXPECT_EQ(dag.users(StepId(1))[0], JobId(3));
    dag.removeUser(StepId(1), JobId(3));
    EXPECT_TRUE(dag.users(StepId(1)).empty());
    dag.share("k", StepId(1));
    dag.unshare("k", StepId(2));
    EXPECT_EQ(dag.findShared("k"), StepId(1));
    dag.unshare("k", StepId(1));
    EXPECT_FALSE(dag.findShared("k"));
}

TEST(TopologicalOrder, PutsDependenciesFirst)
{
    const auto order = orderOf({{1, 2}, {2}, {}, {0}});
    ASSERT_TRUE(order);
    EXPECT_EQ(*order, (std::vector<std::uint32_t>{2, 1, 0, 3}));
}

TEST(TopologicalOrder, NamesACircleAndAWrongIndex)
{
    const auto circle = orderOf({{1}, {2}, {1}, {}});
    ASSERT_FALSE(circle);
    EXPECT_NE(circle.error().message.find("indices"), std::string::npos) << circle.error().message;
    EXPECT_FALSE(orderOf({{0}}));
    EXPECT_FALSE(orderOf({{7}}));
}

// Against a model that walks everything: random graphs, random ends.
TEST(Dag, AgreesWithASimpleModel)
{
    std::uint64_t random = 42;
    const auto draw = [&random](std::uint64_t below) {
        random = random * 6364136223846793005U + 1442695040888963407U;
        return (random >> 33U) % below;
    };
    for (int round = 0; round < 200; ++round) {
        Dag dag;
        std::map<std::uint64_t, std::set<std::uint64_t>> below;
        std::map<std::uint64_t, Outcome> model;
        for (std::uint64_t id = 1; id <= 30; ++id) {
            dag.add(StepId(id), Outcome::Open);
            model[id] = Outcome::Open;
            for (std::uint64_t other = 1; other < id; ++other)
                if (draw(8) == 0 && below[id].insert(other).second)
                    dag.addDependency(StepId(id), StepId(other));
        }
        const auto isReady = [&](std::uint64_t id) {
            return model[id] == Outcome::Open &&
                   std::all_of(below[id].begin(), below[id].end(), [&](auto b) { return model[b] == Outcome::Good; });
        };
        for (std::uint64_t id = 1; id <= 30; ++id) { // ids are a topological order
            if (!isReady(id))
                continue;
            const bool good = draw(5) != 0;
            const Dag::Consequences after = dag.finish(StepId(id), good);
            model[id] = good ? Outcome::Good : Outcome::Bad;
            std::set<std::uint64_t> failed;
            for (std::uint64_t above = id + 1; above <= 30; ++above)
                if (model[above] == Outcome::Open &&
                    std::any_of(below[above].begin(), below[above].end(),
                                [&](auto b) { return model[b] == Outcome::Bad; })) {
                    model[above] = Outcome::Bad;
                    failed.insert(above);
                }
            EXPECT_EQ(after.failed.size(), failed.size());
            for (const StepId ready : after.ready)
                EXPECT_TRUE(isReady(ready.value()));
            ASSERT_TRUE(dag.check()) << dag.check().error().message;
        }
        for (const auto& [id, outcome] : model)
            EXPECT_EQ(dag.outcome(StepId(id)), outcome);
    }
}

} // namespace
} // namespace penstock::work
