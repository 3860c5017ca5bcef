// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nix/modulo.h"
#include "shared/nix/resolution.h"
#include "tests/support/golden.h"

#include <gtest/gtest.h>

namespace penstock::nix {
namespace {

const StoreDir kDir = StoreDir::standard();

StorePath path(std::string_view baseName)
{
    return StorePath::fromBaseName(baseName).value();
}

struct Vector {
    StorePath at;
    Derivation drv;
};
std::map<std::string, Vector> vectors()
{
    std::map<std::string, Vector> all;
    for (const auto& row : penstock::test::readGoldenTable("nix/drv.tsv")) {
        const StorePath at = StorePath::parse(kDir, row[1]).value();
        all.emplace(row[0], Vector{at, parseDerivationAt(
                                           kDir, at, penstock::test::readGolden("nix/drv/" + row[0] + ".drv"))
                                           .value()});
    }
    return all;
}

// Every output that any vector has, from what Nix says they are.
KnownOutputs knownOutputs(const std::map<std::string, Vector>& all)
{
    KnownOutputs known;
    for (const auto& row : penstock::test::readGoldenTable("nix/realisations.tsv"))
        known.emplace(std::pair(all.at(row[0]).at, row[1].substr(row[1].find('!') + 1)), path(row[2]));
    for (const auto& [name, vector] : all)
        for (const auto& [output, value] : vector.drv.outputs)
            if (value.path)
                known.emplace(std::pair(vector.at, output), *value.path);
    return known;
}

TEST(Resolution, GivesADeferredOutputThePathThatNixGaveIt)
{
    const auto all = vectors();
    const Vector& deferred = all.at("deferred");
    ASSERT_EQ(deferred.drv.outputKind(), OutputKind::Deferred);
    EXPECT_TRUE(needsResolution(deferred.drv));
    const auto resolved = resolveDerivation(kDir, deferred.at, deferred.drv, knownOutputs(all));
    ASSERT_TRUE(resolved) << resolved.error().message;
    const StorePath out = path("i0a003y587f9dknfri6ix0xvybvlxm7v-deferred");
    const StorePath floating = path("qgggmh3l96fi791a1gqbxc2lmf926cxz-floating");
    EXPECT_EQ(resolved->basic.outputs.at("out").path, out);
    EXPECT_EQ(resolved->basic.environment.at("out"), out.print(kDir));
    EXPECT_EQ(resolved->basic.inputs, StorePathSet{floating});
    EXPECT_EQ(resolved->basic.arguments.at(1), "echo " + floating.print(kDir) + " > $out");
    EXPECT_EQ(resolved->path.name(), "deferred.drv");
    EXPECT_NE(resolved->path, deferred.at);
}

TEST(Resolution, LeavesAFloatingOutputUnknown)
{
    const auto all = vectors();
    const Vector& floating = all.at("floating");
    EXPECT_FALSE(needsResolution(floating.drv)) << "it has no inputs";
    const auto alone = resolveDerivation(kDir, floating.at, floating.drv, {});
    ASSERT_TRUE(alone);
    EXPECT_EQ(alone->path, floating.at) << "nothing to change, so the same text";
    EXPECT_EQ(RealisationId({alone->modulo, "out"}).print(),
              "sha256:8137c9d9e1782d12bd6f7ab60b23532c79850d740338f4a6a07726f2815c63a8!out");

    Derivation second = floating.drv;
    second.name = "second";
    second.inputDerivations[floating.at].outputs = {"out"};
    second.environment["input"] = outputPlaceholder(floating.at, "out") + "/bin";
    second.builder = outputPlaceholder(floating.at, "out") + "/bin/sh";
    EXPECT_TRUE(needsResolution(second));
    const auto resolved =
        resolveDerivation(kDir, computeDerivationPath(kDir, second).value(), second, knownOutputs(all));
    ASSERT_TRUE(resolved) << resolved.error().message;
    EXPECT_FALSE(resolved->basic.outputs.at("out").path);
    EXPECT_EQ(resolved->basic.outputs.at("out").method, "r:sha256");
    EXPECT_EQ(resolved->basic.environment.at("out"), floating.drv.environment.at("out"))
        << "what stands for itself";
    EXPECT_EQ(resolved->basic.environment.at("input"),
              "/nix/store/qgggmh3l96fi791a1gqbxc2lmf926cxz-floating/bin");
    EXPECT_EQ(resolved->basic.builder, "/nix/store/qgggmh3l96fi791a1gqbxc2lmf926cxz-floating/bin/sh");
}

TEST(Resolution, KeepsThePathsOfOrdinaryDerivations)
{
    const auto all = vectors();
    const auto known = knownOutputs(all);
    for (const auto& [name, vector] : all) {
        const OutputKind kind = vector.drv.outputKind();
        if (kind != OutputKind::InputAddressed && kind != OutputKind::Fixed)
            continue;
        EXPECT_TRUE(kind == OutputKind::Fixed || !needsResolution(vector.drv)) << name;
        const auto resolved = resolveDerivation(kDir, vector.at, vector.drv, known);
        ASSERT_TRUE(resolved) << name << ": " << resolved.error().message;
        EXPECT_EQ(resolved->path, vector.at) << name;
        EXPECT_EQ(resolved->basic.outputs, vector.drv.outputs) << name;
        EXPECT_EQ(resolved->basic.environment, vector.drv.environment) << name;
        for (const auto& [input, node] : vector.drv.inputDerivations)
            for (const std::string& output : node.outputs)
                EXPECT_TRUE(resolved->basic.inputs.contains(known.at({input, output}))) << name;
    }
}

TEST(Resolution, GivesEveryDeferredOutputAPathOfItsOwn)
{
    const auto all = vectors();
    Derivation drv = all.at("deferred").drv;
    drv.outputs["dev"] = {};
    drv.environment["dev"] = "";
    drv.environment[outputPlaceholder(all.at("floating").at, "out")] = "a variable named after an input";
    const StorePath at = computeDerivationPath(kDir, drv).value();
    const auto resolved = resolveDerivation(kDir, at, drv, knownOutputs(all));
    ASSERT_TRUE(resolved) << resolved.error().message;
    EXPECT_EQ(resolved->basic.outputs.at("dev").path->name(), "deferred-dev");
    EXPECT_TRUE(resolved->basic.environment.contains("/nix/store/qgggmh3l96fi791a1gqbxc2lmf926cxz-floating"));
    // It is now an ordinary derivation, whose paths stand the usual check.
    const BasicDerivation& basic = resolved->basic;
    const Derivation ordinary{drv.name,        basic.outputs,    {},
                              basic.inputs,    basic.platform,   basic.builder,
                              basic.arguments, basic.environment};
    EXPECT_TRUE(ModuloHashes(kDir).verifyOutputPaths(ordinary));
    EXPECT_EQ(computeDerivationPath(kDir, ordinary).value(), resolved->path);
}

TEST(Resolution, SaysWhichInputIsMissing)
{
    const auto all = vectors();
    const auto resolved = resolveDerivation(kDir, all.at("deferred").at, all.at("deferred").drv, {});
    ASSERT_FALSE(resolved);
    EXPECT_EQ(resolved.error().code, ErrorCode::NotFound);
    EXPECT_NE(resolved.error().message.find("nzcxnsnxkx446c3zfrrm3n0v8r8vmd9w-floating.drv"),
              std::string::npos);
    Derivation dynamic = all.at("deferred").drv;
    dynamic.inputDerivations.begin()->second.dynamic["out"].outputs = {"out"};
    EXPECT_EQ(resolveDerivation(kDir, all.at("deferred").at, dynamic, knownOutputs(all)).error().code,
              ErrorCode::Invalid);
}

} // namespace
} // namespace penstock::nix
