// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/hydra/build_loader.h"
#include "server/hydra/intake_list.h"

#include <algorithm>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <map>

namespace penstock::hydra {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

const nix::StoreDir& storeDir()
{
    static const nix::StoreDir kDir = nix::StoreDir::standard();
    return kDir;
}

// A store path of its own for each name.
nix::StorePath pathOf(const std::string& name)
{
    constexpr std::string_view kDigits = "0123456789abcdfghijklmnpqrsvwxyz";
    std::size_t seed = std::hash<std::string>{}(name);
    std::string digest;
    for (int at = 0; at < 32; ++at) {
        digest.push_back(kDigits[seed % 32]);
        seed = seed * 6364136223846793005U + 1442695040888963407U;
        seed ^= seed >> 29U;
    }
    return nix::StorePath::fromBaseName(digest + "-" + name).value();
}
std::string drvPath(const std::string& name)
{
    return pathOf(name + ".drv").print(storeDir());
}
std::string outPath(const std::string& name)
{
    return pathOf(name).print(storeDir());
}

// Derivations by name, with one output each; what is there and what has failed.
struct World {
    std::map<std::string, Reading> readings; // by base name
    std::set<std::string> present;           // names
    std::set<std::string> failed;
    std::set<std::string> recorded; // of which an earlier build has told the output
    std::vector<std::vector<std::string>> levels; // read, sorted

    void add(const std::string& name, const std::vector<std::string>& inputs = {})
    {
        ReadDerivation derivation;
        derivation.name = name;
        derivation.system = "x86_64-linux";
        for (const std::string& input : inputs)
            derivation.inputs.push_back(pathOf(input + ".drv"));
        derivation.outputs = {{"out", outPath(name)}};
        readings.insert_or_assign(pathOf(name + ".drv").baseName(), derivation);
    }
    // Only its build can tell its output.
    void addFloating(const std::string& name, const std::vector<std::string>& inputs = {})
    {
        add(name, inputs);
        std::get<ReadDerivation>(readings.at(pathOf(name + ".drv").baseName())).outputs = {{"out", ""}};
    }
    void run(ChunkWalk& walk)
    {
        for (auto level = walk.toRead(); !level.empty(); level = walk.toRead()) {
            std::vector<std::string> names;
            for (const nix::StorePath& path : level) {
                names.emplace_back(path.name().substr(0, path.name().size() - 4));
                const auto found = readings.find(path.baseName());
                walk.read(path, found == readings.end() ? Reading(DerivationGone{}) : found->second);
            }
            std::ranges::sort(names);
            levels.push_back(names);
            RecordedOutputs known;
            for (const std::string& drv : walk.toLookUp())
                for (const std::string& name : recorded)
                    if (drv == drvPath(name))
                        known[drv] = {{"out", outPath(name)}};
            walk.recorded(known);
            nix::StorePathSet there;
            for (const nix::StorePath& path : walk.toFind())
                if (present.contains(std::string(path.name())))
                    there.insert(path);
            walk.found(there);
            std::set<std::string> bad;
            for (const std::string& path : walk.toCheck())
                for (const std::string& name : failed)
                    if (path == outPath(name))
                        bad.insert(path);
            walk.failed(bad);
        }
    }
};

QueuedBuild build(BuildId id, const std::string& drv)
{
    QueuedBuild row;
    row.id = id;
    row.project = "nixos";
    row.jobset = "trunk";
    row.job = drv;
    row.drvPath = drvPath(drv);
    row.priority = 100;
    return row;
}

// "c<-a,b" for each step: its derivation and what it depends on; "=c" is a reference.
std::vector<std::string> stepsOf(const jobs::ParsedJob& job)
{
    const auto nameOf = [&](const jobs::ParsedStep& step) {
        const std::string& path = std::get<work::NixWork>(*step.spec.work).drvPath;
        return std::string(nix::StorePath::parse(storeDir(), path)->name().substr(0, 1));
    };
    std::vector<std::string> all;
    for (const jobs::ParsedStep& step : job.steps) {
        std::string text = fmt::format("{}{}", step.isReference ? "=" : "", nameOf(step));
        for (const std::uint32_t input : step.dependsOn)
            text += fmt::format("{}{}", text.ends_with(">") ? "" : "<", nameOf(job.steps[input]));
        all.push_back(text);
    }
    return all;
}

class ChunkWalkTest : public testing::Test {
protected:
    LoadedChunk load(std::vector<QueuedBuild> builds, ChunkWalk::Limits limits = {})
    {
        m_world.levels.clear();
        ChunkWalk walk(storeDir(), m_options, m_memory, std::move(builds), limits);
        m_world.run(walk);
        return std::move(walk).finish();
    }
    World m_world;
    Options m_options;
    PassMemory m_memory;
};

TEST_F(ChunkWalkTest, ListsADiamondOnceWithInputsBeforeDependents)
{
    m_world.add("a");
    m_world.add("b", {"a"});
    m_world.add("c", {"a"});
    m_world.add("d", {"b", "c"});
    const auto chunk = load({build(1, "d")});
    ASSERT_EQ(chunk.jobs.size(), 1U);
    const jobs::ParsedJob& job = chunk.jobs.front().job;
    EXPECT_THAT(stepsOf(job), ElementsAre("a", "b<a", "c<a", "d<b<c"));
    EXPECT_TRUE(job.claimsRootsOnly);
    EXPECT_TRUE(job.steps.back().root);
    EXPECT_EQ(std::ranges::count_if(job.steps, &jobs::ParsedStep::root), 1);
    EXPECT_EQ(job.spec.sourceId, 1U);
    EXPECT_EQ(job.spec.nameSpace, "hydra");
    EXPECT_EQ(job.spec.shareGroup, "nixos:trunk");
    EXPECT_EQ(job.steps.back().spec.placement.executor, "nix");
    EXPECT_FALSE(job.bumped.has_value());
}

TEST_F(ChunkWalkTest, ReadsNothingBelowWhatIsThere)
{
    m_world.add("a");
    m_world.add("b", {"a"});
    m_world.add("c", {"b"});
    m_world.present = {"b"};
    const auto chunk = load({build(1, "c")});
    ASSERT_EQ(chunk.jobs.size(), 1U);
    EXPECT_THAT(stepsOf(chunk.jobs.front().job), ElementsAre("c"));
    EXPECT_THAT(m_world.levels, ElementsAre(ElementsAre("c"), ElementsAre("b")));
    // In the next chunk it is not even asked for.
    m_world.add("d", {"b"});
    const auto next = load({build(2, "d")});
    EXPECT_THAT(m_world.levels, ElementsAre(ElementsAre("d")));
    EXPECT_THAT(stepsOf(next.jobs.front().job), ElementsAre("d"));
}

TEST_F(ChunkWalkTest, AsksForWholeLevelsOfAllBuildsTogether)
{
    m_world.add("a");
    m_world.add("b");
    m_world.add("c", {"a"});
    m_world.add("d", {"b"});
    const auto chunk = load({build(1, "c"), build(2, "d")});
    EXPECT_EQ(chunk.jobs.size(), 2U);
    EXPECT_THAT(m_world.levels, ElementsAre(ElementsAre("c", "d"), ElementsAre("a", "b")));
}

TEST_F(ChunkWalkTest, RefersToStepsThatAnotherJobOfTheChunkOrOfAnEarlierOneHas)
{
    m_world.add("a");
    m_world.add("b", {"a"});
    m_world.add("c", {"a"});
    const auto chunk = load({build(1, "b"), build(2, "c"), build(3, "b")});
    ASSERT_EQ(chunk.jobs.size(), 3U);
    EXPECT_THAT(stepsOf(chunk.jobs[0].job), ElementsAre("a", "b<a"));
    EXPECT_THAT(stepsOf(chunk.jobs[1].job), ElementsAre("=a", "c<a"));
    EXPECT_THAT(stepsOf(chunk.jobs[2].job), ElementsAre("=b"));
    EXPECT_TRUE(chunk.jobs[2].job.steps.back().root);
    EXPECT_THAT(chunk.referenced, IsEmpty());
    m_world.add("d", {"b", "c"});
    const auto next = load({build(4, "d")});
    EXPECT_THAT(stepsOf(next.jobs.front().job), ElementsAre("=b", "=c", "d<b<c"));
    EXPECT_EQ(next.referenced.size(), 2U);
    EXPECT_THAT(m_world.levels, ElementsAre(ElementsAre("d")));
}

TEST_F(ChunkWalkTest, ListsEverythingWhenTheFarmMustNotBeTrusted)
{
    m_world.add("a");
    m_world.add("b", {"a"});
    (void)load({build(1, "a")});
    ChunkWalk::Limits limits;
    limits.takesLive = false;
    const auto chunk = load({build(2, "b")}, limits);
    EXPECT_THAT(stepsOf(chunk.jobs.front().job), ElementsAre("a", "b<a"));
    EXPECT_THAT(chunk.referenced, IsEmpty());
}

TEST_F(ChunkWalkTest, FindsBuildsThatNeedNoWork)
{
    m_world.add("a");
    m_world.present = {"a"};
    const auto chunk = load({build(7, "a")});
    EXPECT_THAT(chunk.jobs, IsEmpty());
    ASSERT_EQ(chunk.present.size(), 1U);
    EXPECT_EQ(chunk.present.front().build.id, 7);
    EXPECT_EQ(chunk.present.front().outputs.front().path, outPath("a"));
}

TEST_F(ChunkWalkTest, FailsWhatNeedsAFailedOutputAndReadsNothingBelow)
{
    m_world.add("a");
    m_world.add("b", {"a"});
    m_world.add("c", {"b"});
    m_world.add("d", {"a"});
    m_world.failed = {"b"};
    const auto chunk = load({build(1, "c"), build(2, "b"), build(3, "d")});
    ASSERT_EQ(chunk.failed.size(), 2U);
    EXPECT_EQ(chunk.failed[0].build.id, 1);
    EXPECT_EQ(chunk.failed[0].cause->drvPath, drvPath("b"));
    EXPECT_EQ(chunk.failed[1].cause->drvPath, drvPath("b"));
    EXPECT_EQ(chunk.failed[1].cause->outputs.front().path, outPath("b"));
    ASSERT_EQ(chunk.jobs.size(), 1U);
    EXPECT_THAT(stepsOf(chunk.jobs[0].job), ElementsAre("a", "d<a"));
    // Thousands of builds on it cost nothing more than their own derivation.
    m_world.add("e", {"c"});
    const auto next = load({build(4, "e")});
    ASSERT_EQ(next.failed.size(), 1U);
    EXPECT_EQ(next.failed[0].cause->drvPath, drvPath("b"));
    EXPECT_THAT(m_world.levels, ElementsAre(ElementsAre("e")));
}

TEST_F(ChunkWalkTest, AnOutputThatIsThereHasNotFailed)
{
    m_world.add("a");
    m_world.add("b", {"a"});
    m_world.present = {"a"};
    m_world.failed = {"a"};
    const auto chunk = load({build(1, "b")});
    EXPECT_THAT(chunk.failed, IsEmpty());
    EXPECT_EQ(chunk.jobs.size(), 1U);
}

TEST_F(ChunkWalkTest, AnUnreadableDerivationHarmsOnlyWhatNeedsIt)
{
    m_world.add("a", {"z"}); // z is gone
    m_world.add("b");
    m_world.readings.insert_or_assign(pathOf("x.drv").baseName(), DerivationBroken{"is garbage"});
    auto elsewhere = build(6, "b");
    elsewhere.drvPath = "/elsewhere/b.drv";
    const auto chunk =
        load({build(1, "a"), build(2, "b"), build(3, "z"), build(4, "x"), build(5, "b"), std::move(elsewhere)});
    std::map<BuildId, std::string> why;
    for (const auto& each : chunk.unreadable)
        why.emplace(each.build.id, each.why);
    EXPECT_EQ(why.size(), 4U);
    EXPECT_EQ(why[1], "needs " + drvPath("z") + ", which is gone from the store");
    EXPECT_EQ(why[3], "");
    EXPECT_EQ(why[4], "is garbage");
    EXPECT_THAT(why[6], testing::HasSubstr("/elsewhere/b.drv"));
    EXPECT_EQ(chunk.jobs.size(), 2U);
}

TEST_F(ChunkWalkTest, AnOutputThatOnlyTheBuildCanTellIsNotThere)
{
    m_world.add("a");
    std::get<ReadDerivation>(m_world.readings.at(pathOf("a.drv").baseName())).outputs = {{"out", ""}};
    const auto chunk = load({build(1, "a")});
    ASSERT_EQ(chunk.jobs.size(), 1U);
    EXPECT_THAT(stepsOf(chunk.jobs[0].job), ElementsAre("a"));
}

TEST_F(ChunkWalkTest, AnOutputThatAnEarlierBuildHasToldIsThereWhenTheStoreHasIt)
{
    m_world.addFloating("a");
    m_world.addFloating("b", {"a"});
    m_world.addFloating("c");
    m_world.recorded = {"b", "c"};
    m_world.present = {"b"};
    const auto chunk = load({build(1, "b"), build(2, "c")});
    EXPECT_THAT(m_world.levels, ElementsAre(ElementsAre("b", "c")));
    ASSERT_EQ(chunk.present.size(), 1U);
    EXPECT_EQ(chunk.present[0].build.id, 1);
    EXPECT_EQ(chunk.present[0].outputs.front().path, outPath("b"));
    ASSERT_EQ(chunk.jobs.size(), 1U);
    EXPECT_THAT(stepsOf(chunk.jobs[0].job), ElementsAre("c"));
    EXPECT_EQ(std::get<work::NixWork>(*chunk.jobs[0].job.steps[0].spec.work).outputs.front().path, "");
}

// Who is built on it asks its step where it is.
TEST_F(ChunkWalkTest, WhatOnlyABuildCanTellHasAStepWhereSomethingIsBuiltOnIt)
{
    m_world.add("z");
    m_world.addFloating("a", {"z"});
    m_world.addFloating("b", {"a"});
    m_world.recorded = {"a"};
    m_world.present = {"a"};
    const auto chunk = load({build(1, "a"), build(2, "b")});
    EXPECT_THAT(chunk.present, IsEmpty());
    ASSERT_EQ(chunk.jobs.size(), 2U);
    EXPECT_THAT(stepsOf(chunk.jobs[0].job), ElementsAre("z", "a<z"));
    EXPECT_THAT(stepsOf(chunk.jobs[1].job), ElementsAre("=a", "b<a"));
    // Nor is it taken for something that is simply there.
    const auto first = load({build(3, "a")}, {.takesLive = false});
    EXPECT_EQ(first.present.size(), 1U);
    const auto second = load({build(4, "b")}, {.takesLive = false});
    ASSERT_EQ(second.jobs.size(), 1U);
    EXPECT_THAT(stepsOf(second.jobs[0].job), ElementsAre("z", "a<z", "b<a"));
}

TEST_F(ChunkWalkTest, PostponesTheBuildThatNeedsTooMuch)
{
    std::vector<std::string> many;
    for (int at = 0; at < 60; ++at) {
        many.push_back(fmt::format("m{}", at));
        m_world.add(many.back(), {fmt::format("n{}", at)});
        m_world.add(fmt::format("n{}", at));
    }
    m_world.add("w", many);
    m_world.add("a");
    m_world.add("b", {"a"});
    ChunkWalk::Limits limits;
    limits.maxNodes = 50;
    const auto chunk = load({build(1, "w"), build(2, "b")}, limits);
    EXPECT_THAT(chunk.postponed, ElementsAre(1));
    ASSERT_EQ(chunk.jobs.size(), 1U);
    EXPECT_THAT(stepsOf(chunk.jobs[0].job), ElementsAre("a", "b<a"));
    limits.maxNodes = 1'000;
    const auto alone = load({build(1, "w")}, limits);
    ASSERT_EQ(alone.jobs.size(), 1U);
    EXPECT_EQ(alone.jobs[0].job.steps.size(), 121U);
}

TEST_F(ChunkWalkTest, TakesBuildsOfWhatItIsAboutToBuild)
{
    m_world.add("a");
    m_world.add("b", {"a"});
    ChunkWalk walk(storeDir(), m_options, m_memory, {build(1, "b")}, {});
    m_world.run(walk);
    const auto keys = walk.toBeBuilt();
    EXPECT_THAT(keys, UnorderedElementsAre(DrvKey(pathOf("a.drv")), DrvKey(pathOf("b.drv"))));
    PassList list({{5, DrvKey(pathOf("x.drv"))}, {6, DrvKey(pathOf("a.drv"))}, {7, DrvKey(pathOf("a.drv"))}});
    EXPECT_THAT(list.takeOf(keys, 10), UnorderedElementsAre(6, 7));
    EXPECT_THAT(list.take(10), ElementsAre(5));
    walk.add(build(6, "a"));
    walk.add(build(8, "q")); // repointed meanwhile
    const auto chunk = std::move(walk).finish();
    ASSERT_EQ(chunk.jobs.size(), 2U);
    EXPECT_THAT(stepsOf(chunk.jobs[1].job), ElementsAre("=a"));
    EXPECT_THAT(chunk.postponed, ElementsAre(8));
}

// Whatever is known of another derivation than the one it was listed with was not read for its own sake.
TEST_F(ChunkWalkTest, ABuildThatWasRepointedBeforeItWasAddedIsPostponed)
{
    m_world.add("p"); // known to be there, from an earlier chunk: never read in this one
    m_world.present = {"p"};
    m_world.add("o", {"p"});
    (void)load({build(1, "o")});
    m_world.add("b", {"p"});
    m_world.add("m"); // of postponed builds only
    m_world.add("n", {"m"});
    for (int at = 0; at < 60; ++at)
        m_world.add(fmt::format("m{}", at), {"n"});
    std::vector<std::string> many;
    for (int at = 0; at < 60; ++at)
        many.push_back(fmt::format("m{}", at));
    m_world.add("w", many);
    ChunkWalk::Limits limits;
    limits.maxNodes = 40;
    ChunkWalk walk(storeDir(), m_options, m_memory, {build(2, "b"), build(3, "w")}, limits);
    m_world.run(walk);
    EXPECT_THAT(walk.toBeBuilt(), ElementsAre(DrvKey(pathOf("b.drv"))));
    walk.add(build(4, "b"));
    walk.add(build(5, "p"));
    walk.add(build(6, "w"));
    walk.add(build(7, "m0"));
    const auto chunk = std::move(walk).finish();
    EXPECT_THAT(chunk.postponed, UnorderedElementsAre(3, 5, 6, 7));
    EXPECT_THAT(chunk.present, IsEmpty());
    ASSERT_EQ(chunk.jobs.size(), 2U);
    EXPECT_EQ(chunk.jobs[1].build.id, 4);
}

TEST(JobSpecOf, TakesLimitsFromTheBuildAndElseTheRunners)
{
    Options options;
    QueuedBuild row = build(1, "a");
    row.timeout = 180;
    const work::JobSpec spec = jobSpecOf(row, options);
    EXPECT_EQ(spec.limits.timeout, std::chrono::seconds(180));
    EXPECT_EQ(spec.limits.silentTimeout, options.maxSilent);
    EXPECT_EQ(spec.limits.maxLogBytes, options.maxLogBytes);
    EXPECT_EQ(spec.definition, "{\"build\":1,\"project\":\"nixos\",\"jobset\":\"trunk\",\"job\":\"a\",\"drv\":\"" +
                                   drvPath("a") + "\"}");
    EXPECT_EQ(spec.limits.repeats, 0U);
    options.repeats = {{"nixos:trunk", 2}, {"nixos:other", 3}};
    EXPECT_EQ(jobSpecOf(row, options).limits.repeats, 2U);
    row.job = std::string(199, 'x') + "\xc3\xa4"; // cut where a character begins
    EXPECT_EQ(jobSpecOf(row, options).name, std::string(199, 'x'));
}

TEST(ReadingOf, TakesFeaturesSystemAndInputs)
{
    const std::string input = drvPath("in");
    const std::string text = "Derive([(\"out\",\"" + outPath("a") + "\",\"\",\"\")],[(\"" + input +
                             "\",[\"out\"])],[],\"aarch64-linux\",\"/bin/sh\",[],[(\"out\",\"" + outPath("a") +
                             "\"),(\"preferLocalBuild\",\"1\"),(\"requiredSystemFeatures\",\"kvm big-parallel\")])";
    const Reading reading = readingOf(storeDir(), pathOf("a.drv"), text);
    ASSERT_TRUE(std::holds_alternative<ReadDerivation>(reading)) << std::get<DerivationBroken>(reading).why;
    const auto& derivation = std::get<ReadDerivation>(reading);
    EXPECT_EQ(derivation.system, "aarch64-linux");
    EXPECT_THAT(derivation.features, ElementsAre("big-parallel", "kvm", "local"));
    ASSERT_EQ(derivation.inputs.size(), 1U);
    EXPECT_EQ(derivation.inputs[0].print(storeDir()), input);
    EXPECT_TRUE(derivation.knowsOutputs());
    EXPECT_TRUE(std::holds_alternative<DerivationBroken>(readingOf(storeDir(), pathOf("a.drv"), "Derive(")));
}

} // namespace
} // namespace penstock::hydra
