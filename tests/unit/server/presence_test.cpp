// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/jobs/presence.h"

#include <gtest/gtest.h>

#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <vector>

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
    EXPECT_EQ(graph.prune("a").there, 0U);
}

// What is asked, question by question, when these are there.
std::vector<std::string> questions(const Graph& graph, std::string_view there, std::size_t most)
{
    std::vector<std::string> asked;
    PresenceWalk walk(graph.job);
    for (auto paths = walk.next(most); !paths.empty(); paths = walk.next(most)) {
        std::set<std::string> present;
        asked.emplace_back();
        for (const std::string& path : paths) {
            asked.back() += path.substr(std::string_view("/nix/store/").size());
            if (there.find(path.back()) != std::string_view::npos)
                present.insert(path);
        }
        walk.answer(present);
    }
    return asked;
}

TEST(PresenceWalk, AsksFromTheRootsDownAndNotBelowWhatIsThere)
{
    const Graph graph("dcba", {"ab", "ac", "bd", "cd"}, "a");
    EXPECT_EQ(questions(graph, "", 1), (std::vector<std::string>{"a", "b", "c", "d"}));
    EXPECT_EQ(questions(graph, "bc", 1), (std::vector<std::string>{"a", "b", "c"}));
    EXPECT_EQ(questions(graph, "a", 1), (std::vector<std::string>{"a"}));
}

TEST(PresenceWalk, LooksFurtherDownWhereAQuestionHasRoom)
{
    const Graph graph("edcba", {"ab", "bc", "cd", "de"}, "a");
    EXPECT_EQ(questions(graph, "", 100), (std::vector<std::string>{"abcde"}));
    EXPECT_EQ(questions(graph, "", 2), (std::vector<std::string>{"ab", "cd", "e"}));
    // c is asked about with b, which is there.
    EXPECT_EQ(questions(graph, "b", 3), (std::vector<std::string>{"abc", "de"}));
    EXPECT_EQ(questions(graph, "bc", 3), (std::vector<std::string>{"abc"}));
}

TEST(PresenceWalk, LooksBelowWhatCannotBeThere)
{
    Graph graph("cba", {"ab", "bc"}, "a");
    graph.outputs('b', {{"dev", "/nix/store/b-dev"}, {"out", ""}});
    EXPECT_EQ(questions(graph, "", 1), (std::vector<std::string>{"a", "c"}));
    Graph command("a", {}, "a");
    command.job.steps[0].spec.work = std::make_shared<const work::Work>(work::CommandWork{{"true"}, {}});
    EXPECT_TRUE(questions(command, "", 1).empty());
}

TEST(PresenceWalk, AsksForAllOutputsOfAStepTogether)
{
    Graph graph("ba", {"ab"}, "a");
    graph.outputs('a', {{"dev", "/nix/store/v"}, {"out", "/nix/store/a"}});
    EXPECT_EQ(questions(graph, "", 1), (std::vector<std::string>{"va", "b"}));
    EXPECT_EQ(questions(graph, "va", 1), (std::vector<std::string>{"va"}));
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
