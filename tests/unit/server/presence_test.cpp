// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/jobs/presence.h"

#include <gtest/gtest.h>

#include <initializer_list>
#include <map>
#include <memory>

namespace penstock::jobs {
namespace {

// A job by letters: edges "ab" means a needs b.
struct Graph {
    ParsedJob job;
    std::map<char, std::uint32_t> places;

    Graph(std::string_view steps, std::initializer_list<std::string_view> edges, std::string_view roots)
    {
        for (const char name : steps) {
            places[name] = static_cast<std::uint32_t>(job.steps.size());
            ParsedStep step;
            step.spec.name = std::string(1, name);
            step.root = roots.find(name) != std::string_view::npos;
            job.steps.push_back(std::move(step));
            outputs(name, {{"out", pathOf(name)}});
        }
        for (const auto edge : edges)
            job.steps[places.at(edge[0])].dependsOn.push_back(places.at(edge[1]));
    }
    static std::string pathOf(char name) { return std::string("/nix/store/") + name; }
    void outputs(char name, std::vector<work::NixOutput> list)
    {
        work::NixWork work;
        work.drvPath = pathOf(name) + ".drv";
        work.outputs = std::move(list);
        job.steps[places.at(name)].spec.work = std::make_shared<const work::Work>(std::move(work));
    }
    Pruned prune(std::string_view there)
    {
        std::set<std::string> present;
        for (const char name : there)
            present.insert(pathOf(name));
        return leaveOutPresent(job, present);
    }
    // "a(bc) b*": a needs b and c; b is cached.
    [[nodiscard]] std::string left() const
    {
        std::string out;
        for (const ParsedStep& step : job.steps) {
            out += (out.empty() ? "" : " ") + step.spec.name + (step.cached ? "*" : "");
            if (step.dependsOn.empty())
                continue;
            out += '(';
            for (const auto below : step.dependsOn)
                out += job.steps.at(below).spec.name;
            out += ')';
        }
        return out;
    }
};

TEST(Presence, LeavesEverythingWhereNothingIsThere)
{
    Graph graph("cba", {"ab", "bc"}, "a");
    const Pruned pruned = graph.prune("");
    EXPECT_EQ(graph.left(), "c b(c) a(b)");
    EXPECT_EQ(pruned.there, 0U);
    EXPECT_EQ(pruned.unneeded, 0U);
}

TEST(Presence, CutsAChainBelowWhatIsThere)
{
    Graph graph("dcba", {"ab", "bc", "cd"}, "a");
    const Pruned pruned = graph.prune("c");
    EXPECT_EQ(graph.left(), "b a(b)");
    EXPECT_EQ(pruned.there, 1U);
    EXPECT_EQ(pruned.unneeded, 1U); // d
}

TEST(Presence, LeavesARootThatIsThereAsCachedAndNothingBelowIt)
{
    Graph graph("cba", {"ab", "bc"}, "a");
    const Pruned pruned = graph.prune("a");
    EXPECT_EQ(graph.left(), "a*");
    EXPECT_EQ(pruned.there, 1U);
    EXPECT_EQ(pruned.unneeded, 2U);
}

TEST(Presence, KeepsWhatTheOtherSideOfADiamondStillNeeds)
{
    Graph graph("dcba", {"ab", "ac", "bd", "cd"}, "a");
    graph.prune("b");
    EXPECT_EQ(graph.left(), "d c(d) a(c)");
    Graph both("dcba", {"ab", "ac", "bd", "cd"}, "a");
    both.prune("bc");
    EXPECT_EQ(both.left(), "a");
    Graph bottom("dcba", {"ab", "ac", "bd", "cd"}, "a");
    bottom.prune("d");
    EXPECT_EQ(bottom.left(), "c b a(bc)");
}

TEST(Presence, KeepsARootThatOnlyAnotherRootNeeded)
{
    // b is asked for too: it stays, cached, but nobody waits for it.
    Graph graph("cba", {"ab", "bc"}, "ab");
    graph.prune("b");
    EXPECT_EQ(graph.left(), "b* a");
    // The upper one is there, the lower one is not: it is still to be built, with all that it needs.
    Graph upper("cba", {"ab", "bc"}, "ab");
    upper.prune("a");
    EXPECT_EQ(upper.left(), "c b(c) a*");
}

TEST(Presence, BuildsAStepOfWhichOneOutputIsMissing)
{
    Graph graph("ba", {"ab"}, "a");
    graph.outputs('b', {{"dev", "/nix/store/b-dev"}, {"out", Graph::pathOf('b')}});
    Graph same = graph;
    EXPECT_EQ(graph.prune("b").there, 0U);
    EXPECT_EQ(graph.left(), "b a(b)");
    EXPECT_EQ(leaveOutPresent(same.job, {"/nix/store/b-dev", "/nix/store/b"}).there, 1U);
    EXPECT_EQ(same.left(), "a");
}

TEST(Presence, NeverTakesAStepAsThereWhosePathsOnlyItsBuildCanTell)
{
    Graph graph("cba", {"ab", "bc"}, "a");
    graph.outputs('b', {{"dev", "/nix/store/b-dev"}, {"out", ""}});
    leaveOutPresent(graph.job, {"", "/nix/store/b-dev", "/nix/store/c"});
    EXPECT_EQ(graph.left(), "b a(b)");
    Graph nothing("a", {}, "a");
    nothing.outputs('a', {});
    EXPECT_EQ(nothing.prune("a").there, 0U);
}

TEST(Presence, NeverTakesACommandAsThere)
{
    Graph graph("a", {}, "a");
    graph.job.steps[0].spec.work = std::make_shared<const work::Work>(work::CommandWork{{"true"}, {}});
    EXPECT_TRUE(knownOutputPaths(graph.job).empty());
    EXPECT_EQ(graph.prune("a").there, 0U);
}

TEST(Presence, AsksForEachKnownPathOnce)
{
    Graph graph("cba", {}, "abc");
    graph.outputs('b', {{"dev", "/nix/store/b-dev"}, {"out", ""}});
    graph.outputs('c', {{"out", Graph::pathOf('a')}}); // as two fixed outputs of the same hash
    EXPECT_EQ(knownOutputPaths(graph.job), (std::vector<std::string>{"/nix/store/a", "/nix/store/b-dev"}));
}

TEST(Presence, TakesALongChainWithoutRecursion)
{
    ParsedJob job;
    constexpr std::uint32_t kSteps = 100'000;
    for (std::uint32_t at = 0; at < kSteps; ++at) {
        ParsedStep step;
        step.root = at + 1 == kSteps;
        if (at > 0)
            step.dependsOn = {at - 1};
        work::NixWork work;
        work.outputs = {{"out", std::to_string(at)}};
        step.spec.work = std::make_shared<const work::Work>(std::move(work));
        job.steps.push_back(std::move(step));
    }
    const Pruned pruned = leaveOutPresent(job, {"10"});
    EXPECT_EQ(job.steps.size(), kSteps - 11U);
    EXPECT_EQ(pruned.unneeded, 10U);
}

} // namespace
} // namespace penstock::jobs
