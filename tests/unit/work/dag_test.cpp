// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/work/dag.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <limits>
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

TEST(Dag, ALengthIsTheLongestUnfinishedWorkAbove)
{
    Dag dag;
    dag.add(StepId(1), Outcome::Open, 5);
    dag.add(StepId(2), Outcome::Open, 10);
    dag.add(StepId(3), Outcome::Open, 20);
    dag.add(StepId(4), Outcome::Open, 0); // counts as 1
    dag.addDependency(StepId(2), StepId(1));
    dag.addDependency(StepId(3), StepId(1));
    dag.addDependency(StepId(4), StepId(2));
    EXPECT_TRUE(dag.settle().empty()); // new steps have not moved
    EXPECT_EQ(dag.length(StepId(4)), 1U);
    EXPECT_EQ(dag.length(StepId(2)), 11U);
    EXPECT_EQ(dag.length(StepId(1)), 25U);
    EXPECT_EQ(dag.openDependents(StepId(1)), 2U);
    dag.finishAlone(StepId(3));
    EXPECT_EQ(dag.length(StepId(1)), 25U); // until it is settled
    EXPECT_EQ(dag.settle(), (std::vector<Dag::Moved>{{StepId(1), 25, 2}}));
    EXPECT_EQ(dag.length(StepId(1)), 16U);
    EXPECT_EQ(dag.openDependents(StepId(1)), 1U);
    EXPECT_EQ(dag.length(StepId(3)), 0U);
    dag.reopen(StepId(3));
    dag.setWeight(StepId(3), 2);
    EXPECT_EQ(dag.settle(), (std::vector<Dag::Moved>{{StepId(1), 16, 1}}));
    EXPECT_EQ(dag.length(StepId(1)), 16U);
    EXPECT_EQ(dag.openDependents(StepId(1)), 2U);
    EXPECT_TRUE(dag.check());
}

TEST(Dag, OnlyReadyStepsAreToldThatTheyMoved)
{
    Dag dag = diamond();
    dag.settle();
    dag.setWeight(StepId(4), 100);
    EXPECT_EQ(dag.settle(), (std::vector<Dag::Moved>{{StepId(1), 3, 2}})); // 2 and 3 are longer too, but wait
    EXPECT_EQ(dag.length(StepId(3)), 101U);
    dag.setWeight(StepId(4), 7);
    dag.setWeight(StepId(4), 100);
    EXPECT_TRUE(dag.settle().empty()); // as before
}

TEST(Dag, AJobAddedOnTopLengthensWhatItNeeds)
{
    Dag dag = diamond();
    dag.settle();
    for (std::uint64_t id = 5; id <= 6; ++id)
        dag.add(StepId(id), Outcome::Open, 50);
    dag.addDependency(StepId(6), StepId(5));
    dag.addDependency(StepId(5), StepId(3));
    EXPECT_EQ(dag.settle(), (std::vector<Dag::Moved>{{StepId(1), 3, 2}}));
    EXPECT_EQ(dag.length(StepId(1)), 102U);
    EXPECT_EQ(dag.length(StepId(2)), 2U);
    EXPECT_TRUE(dag.check());
}

TEST(Dag, LengthsStopAtTheLargestNumber)
{
    constexpr std::uint32_t kMost = std::numeric_limits<std::uint32_t>::max();
    Dag dag = diamond();
    dag.setWeight(StepId(4), kMost - 1);
    dag.settle();
    EXPECT_EQ(dag.length(StepId(2)), kMost);
    EXPECT_EQ(dag.length(StepId(1)), kMost);
    dag.setWeight(StepId(4), 1);
    EXPECT_EQ(dag.settle(), (std::vector<Dag::Moved>{{StepId(1), kMost, 2}}));
    EXPECT_EQ(dag.length(StepId(1)), 3U);
}

// Each end is the longest of those left; a search through all of them for each would take minutes.
TEST(Dag, AHundredThousandDependentsEndOneByOne)
{
    constexpr std::uint64_t kCount = 100'000;
    Dag dag;
    dag.add(StepId(1), Outcome::Open);
    for (std::uint64_t id = 2; id <= kCount; ++id) {
        dag.add(StepId(id), Outcome::Open, static_cast<std::uint32_t>(id));
        dag.addDependency(StepId(id), StepId(1));
        dag.addUser(StepId(1), JobId(id));
    }
    dag.settle();
    for (std::uint64_t id = kCount; id > 2; --id) {
        const StepId step(id);
        ASSERT_EQ(dag.length(StepId(1)), id + 1);
        dag.finishAlone(step);
        ASSERT_EQ(dag.settle().size(), 1U);
        dag.removeUser(StepId(1), JobId(kCount + 2 - id));
        dag.remove({&step, 1});
        ASSERT_EQ(dag.dependents(StepId(1)).size(), id - 2);
    }
    EXPECT_EQ(dag.users(StepId(1)).size(), 1U);
    EXPECT_TRUE(dag.check());
}

TEST(Dag, AStepInThePlaceOfOneThatIsGoneIsNotTakenForIt)
{
    Dag dag;
    dag.add(StepId(1), Outcome::Open);
    for (std::uint64_t id = 2; id <= 301; ++id) {
        dag.add(StepId(id), Outcome::Open, static_cast<std::uint32_t>(id));
        dag.addDependency(StepId(id), StepId(1));
    }
    dag.settle();
    dag.finishAlone(StepId(301));
    dag.settle();
    std::vector<StepId> gone;
    for (std::uint64_t id = 100; id <= 299; ++id)
        gone.emplace_back(id);
    dag.finishAlone(gone);
    dag.remove(gone);
    for (std::uint64_t id = 302; id <= 502; ++id)
        dag.add(StepId(id), Outcome::Open, 299); // as long as one that is gone, but over nothing
    dag.settle();
    EXPECT_EQ(dag.length(StepId(1)), 301U);
    dag.finishAlone(StepId(300));
    dag.settle();
    EXPECT_EQ(dag.length(StepId(1)), 100U);
    EXPECT_TRUE(dag.check());
}

TEST(Dag, UsersAscendWhateverTheOrderTheyCameIn)
{
    Dag dag = diamond();
    for (const std::uint64_t job : {5U, 9U, 2U, 7U, 5U, 1U})
        dag.addUser(StepId(1), JobId(job));
    const auto users = [&dag] {
        const auto all = dag.users(StepId(1));
        return std::vector<JobId>(all.begin(), all.end());
    };
    EXPECT_EQ(users(), (std::vector<JobId>{JobId(1), JobId(2), JobId(5), JobId(7), JobId(9)}));
    dag.removeUser(StepId(1), JobId(1));
    dag.removeUser(StepId(1), JobId(7));
    dag.removeUser(StepId(1), JobId(8));
    dag.addUser(StepId(1), JobId(1));
    EXPECT_EQ(users(), (std::vector<JobId>{JobId(1), JobId(2), JobId(5), JobId(9)}));
}

TEST(Dag, ManyIdsFarApartAreFoundAndForgotten)
{
    Dag dag;
    std::vector<StepId> all;
    for (std::uint64_t id = 1; id <= 2'000; ++id)
        all.emplace_back(id * id * 17);
    for (const StepId id : all)
        dag.add(id, Outcome::Good);
    for (std::size_t i = 0; i < all.size(); ++i) {
        EXPECT_FALSE(dag.contains(StepId(all[i].value() + 1)));
        ASSERT_TRUE(dag.contains(all[i]));
        if (i % 3 != 0)
            dag.remove({&all[i], 1});
        ASSERT_EQ(dag.contains(all[i]), i % 3 == 0);
    }
    for (std::size_t i = 0; i < all.size(); ++i)
        ASSERT_EQ(dag.contains(all[i]), i % 3 == 0);
    EXPECT_TRUE(dag.check());
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
            return model[id] == Outcome::Open && std::all_of(below[id].begin(), below[id].end(), [&](auto b) {
                       return model[b] == Outcome::Good;
                   });
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
