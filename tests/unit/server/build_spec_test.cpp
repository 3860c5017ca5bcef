// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/jobs/build_spec.h"

#include "shared/base/text.h"
#include "tests/support/golden.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

namespace penstock::jobs {
namespace {

struct Golden {
    std::string path;
    std::string text;
};

Golden golden(std::string_view name)
{
    for (const auto& line : test::readGoldenTable("nix/drv.tsv")) {
        if (line[0] == name)
            return {line[1], test::readGolden("nix/drv/" + line[0] + ".drv")};
    }
    ADD_FAILURE() << "no golden derivation " << name;
    return {};
}

BuildAssembler assemble(std::initializer_list<std::string_view> names)
{
    BuildAssembler assembler(nix::StoreDir::standard(), 1U << 20U);
    for (const auto name : names) {
        const auto drv = golden(name);
        const auto added = assembler.add(drv.path, drv.text);
        EXPECT_TRUE(added) << added.error().message;
    }
    return assembler;
}

Result<ParsedJob> build(std::initializer_list<std::string_view> names, std::initializer_list<std::string_view> roots,
                        std::string_view json = {})
{
    std::vector<std::string> paths;
    for (const auto root : roots)
        paths.push_back(golden(root).path);
    return assemble(names).finish(paths, json, {"rich", {}});
}

TEST(BuildSpec, MakesAStepOfEachNeededDerivation)
{
    const auto job = build({"deps2", "multi", "fixedFlat", "deps", "simple"}, {"deps2"},
                           R"({"priority":5,"affinity":{"tags":["fast"]}})");
    ASSERT_TRUE(job) << job.error().message;
    EXPECT_EQ(job->spec.name, "deps2");
    EXPECT_EQ(job->spec.priority, 5);
    EXPECT_TRUE(job->spec.definition.starts_with(R"({"drv":["/nix/store/)")) << job->spec.definition;
    ASSERT_EQ(job->steps.size(), 4U); // fixedFlat is needed by none
    std::map<std::string, const ParsedStep*> byName;
    for (const auto& step : job->steps)
        byName.emplace(step.spec.name, &step);
    const auto& deps = *byName.at("deps");
    EXPECT_FALSE(deps.root);
    EXPECT_TRUE(byName.at("deps2")->root);
    ASSERT_EQ(deps.dependsOn.size(), 2U);
    for (const auto index : deps.dependsOn)
        EXPECT_NE(job->steps[index].spec.name.find_first_of("sm"), std::string::npos);
    EXPECT_EQ(deps.spec.placement.system, "x86_64-linux");
    EXPECT_EQ(deps.spec.placement.executor, "nix");
    EXPECT_EQ(deps.spec.placement.tags, std::vector<std::string>{"fast"});
    const auto& work = std::get<work::NixWork>(*deps.spec.work);
    EXPECT_EQ(work.drvPath, golden("deps").path);
    EXPECT_EQ(work.drv, golden("deps").text);
    // The source, simple's out, and of multi only the outputs asked for.
    EXPECT_EQ(work.inputPaths.size(), 4U);
    EXPECT_TRUE(std::ranges::is_sorted(work.inputPaths));
    ASSERT_EQ(work.outputs.size(), 1U);
    EXPECT_EQ(work.outputs[0].name, "out");
    EXPECT_EQ(deps.spec.sharingKey(), work.drvPath);
}

TEST(BuildSpec, NamesADerivationThatWasNotSent)
{
    const auto job = build({"deps", "simple"}, {"deps"});
    ASSERT_FALSE(job);
    EXPECT_NE(job.error().message.find(golden("multi").path), std::string::npos);
    EXPECT_NE(job.error().message.find(golden("deps").path), std::string::npos);
    EXPECT_FALSE(build({"simple"}, {"deps"}));
    EXPECT_FALSE(build({"simple"}, {}));
}

TEST(BuildSpec, RefusesATextThatIsNotThatOfItsPath)
{
    BuildAssembler assembler(nix::StoreDir::standard(), 1U << 20U);
    auto drv = golden("simple");
    const auto other = golden("multi");
    EXPECT_FALSE(assembler.add(other.path, drv.text));
    EXPECT_FALSE(assembler.add("/other/store/00000000000000000000000000000000-a.drv", drv.text));
    EXPECT_FALSE(assembler.add(drv.path, "Derive("));
}

TEST(BuildSpec, LeavesOpenWhatOnlyABuildCanTell)
{
    const auto job = build({"floating", "deferred"}, {"deferred"});
    ASSERT_TRUE(job) << job.error().message;
    ASSERT_EQ(job->steps.size(), 2U);
    const auto& deferred = std::get<work::NixWork>(*job->steps[1].spec.work);
    EXPECT_TRUE(deferred.inputPaths.empty());
    ASSERT_EQ(deferred.outputs.size(), 1U);
    EXPECT_EQ(deferred.outputs[0].path, "");
    // Only a daemon with that experiment switched on can build them.
    EXPECT_EQ(job->steps[1].spec.placement.features, std::vector<std::string>{"ca-derivations"});
}

TEST(BuildSpec, HoldsItsByteLimitExactly)
{
    const auto drv = golden("simple");
    BuildAssembler good(nix::StoreDir::standard(), drv.text.size());
    EXPECT_TRUE(good.add(drv.path, drv.text));
    BuildAssembler bad(nix::StoreDir::standard(), drv.text.size() - 1);
    EXPECT_EQ(bad.add(drv.path, drv.text).error().code, ErrorCode::Exhausted);
}

TEST(BuildSpec, RefusesACommandAndASystemInTheJob)
{
    EXPECT_FALSE(build({"simple"}, {"simple"}, R"({"command":"true"})"));
    EXPECT_FALSE(build({"simple"}, {"simple"}, R"({"affinity":{"systems":["x86_64-linux"]}})"));
    EXPECT_FALSE(build({"simple"}, {"simple"}, "{"));
}

} // namespace
} // namespace penstock::jobs
