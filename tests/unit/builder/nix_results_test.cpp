// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/exec/nix_results.h"

#include "shared/protocol/limits.h"
#include "tests/support/nar_tree.h"

#include <gtest/gtest.h>

#include <fmt/format.h>

namespace penstock::builder {
namespace {

using namespace nix::test;

const nix::StoreDir kDir = nix::StoreDir::standard();

nix::StorePath pathOf(std::string_view name)
{
    return nix::StorePath::fromBaseName(fmt::format("3312kys3knjskf490h2cq02gy5ydsrn5-{}", name)).value();
}

// Outputs with their contents, and how often each was read.
struct World {
    std::map<std::string, Tree> trees;
    std::map<std::string, int> reads = {};
    std::map<std::string, Error> errors = {};

    [[nodiscard]] std::map<std::string, nix::StorePath> outputs() const
    {
        std::map<std::string, nix::StorePath> outputs;
        for (const auto& [name, tree] : trees)
            outputs.emplace(name, pathOf(name));
        return outputs;
    }
    [[nodiscard]] std::string nar(const std::string& name) const { return *narOf(trees.at(name)); }
    ReadNar reader()
    {
        return [this](const nix::StorePath& path, const ByteSink& sink) -> Result<void> {
            const std::string name(path.name());
            ++reads[name];
            if (const auto error = errors.find(name); error != errors.end())
                return fail(error->second);
            const std::string bytes = nar(name);
            PENSTOCK_TRY_VOID(sink(std::string_view(bytes).substr(0, bytes.size() / 2)));
            return sink(std::string_view(bytes).substr(bytes.size() / 2));
        };
    }
    CollectedResults collect()
    {
        ResultCollector collector(kDir, outputs());
        auto collected = collector.finish(reader());
        EXPECT_TRUE(collected) << collected.error().message;
        return collected.value_or(CollectedResults{});
    }
};

Tree support(std::map<std::string, Tree> entries, std::map<std::string, Tree> beside = {})
{
    beside.emplace("nix-support", folder(std::move(entries)));
    return folder(std::move(beside));
}

std::string shown(const std::vector<std::string>& notes)
{
    std::string text;
    for (const std::string& note : notes)
        text += note + "\n";
    return text;
}

TEST(ResultCollector, ConvertsEverythingThatOutputsSay)
{
    const std::string out = pathOf("out").print(kDir);
    const std::string dev = pathOf("dev").print(kDir);
    World world{{{"out", support({{"hydra-build-products",
                                   file(fmt::format("doc manual {0}/share index.html\nfile bin {0}/a\nfile l {0}/l\n"
                                                    "report all {1}\n",
                                                    out, dev))},
                                  {"hydra-release-name", file("out-1\n")},
                                  {"hydra-metrics", file("a 1 s\nb -2e300\n")}},
                                 {{"a", file("abc")}, {"l", link("/etc/passwd")}, {"share", folder()}})},
                 {"dev", support({{"failed", file("")}, {"hydra-metrics", file("a 7\n")}})}}};
    const CollectedResults collected = world.collect();
    using enum protocol::ProductKind;
    const std::string abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    EXPECT_EQ(collected.results.products,
              (std::vector<protocol::BuildProduct>{
                  {"doc", "manual", "out", "share", "index.html", "share", Directory, 0, ""},
                  {"file", "bin", "out", "a", "", "a", File, 3, abc},
                  {"file", "l", "out", "l", "", "l", Symlink, 0, ""},
                  {"report", "all", "dev", "", "", "", Directory, 0, ""}}));
    EXPECT_EQ(collected.results.metrics, (std::vector<protocol::BuildMetric>{{"a", 1, "s"}, {"b", -2e300, ""}}));
    EXPECT_EQ(collected.results.releaseName, "out-1");
    EXPECT_TRUE(collected.results.failed);
    EXPECT_TRUE(collected.notes.empty()) << shown(collected.notes);
}

TEST(ResultCollector, ReadsNothingThatWasTappedWholeButForProducts)
{
    World world{{{"out", support({}, {{"a", file("abc")}})}, {"dev", folder()}}};
    ResultCollector collector(kDir, world.outputs());
    EXPECT_FALSE(collector.tap(pathOf("other"))) << "not of interest";
    for (const std::string name : {"out", "dev"}) {
        const std::string nar = world.nar(name);
        ASSERT_TRUE(collector.tap(pathOf(name))(std::string_view(nar).substr(0, 40))); // broken off, and begun anew
        const ByteSink tap = collector.tap(pathOf(name));
        for (const char byte : nar)
            ASSERT_TRUE(tap(std::string_view(&byte, 1)));
    }
    const auto collected = collector.finish(world.reader());
    ASSERT_TRUE(collected);
    EXPECT_TRUE(world.reads.empty());
    EXPECT_EQ(collected->results.products.size(), 2U) << "each is a directory";

    World named{{{"out", support({{"hydra-build-products", file(fmt::format("f x {}/a\n", pathOf("out").print(kDir)))}},
                                 {{"a", file("abc")}})},
                 {"dev", folder()}}};
    EXPECT_EQ(named.collect().results.products.size(), 1U);
    EXPECT_EQ(named.reads, (std::map<std::string, int>{{"out", 2}, {"dev", 1}}));
}

TEST(ResultCollector, ReadsAgainWhatWasTappedInPart)
{
    World world{{{"out", support({{"failed", file("")}})}}};
    ResultCollector collector(kDir, world.outputs());
    const std::string nar = world.nar("out");
    ASSERT_TRUE(collector.tap(pathOf("out"))(std::string_view(nar).substr(0, nar.size() - 8)));
    const auto collected = collector.finish(world.reader());
    ASSERT_TRUE(collected);
    EXPECT_TRUE(collected->results.failed);
    EXPECT_EQ(world.reads["out"], 1);
}

TEST(ResultCollector, LeavesOutWhatIsNoArchiveOrCannotBeRead)
{
    World world{{{"dev", support({{"hydra-metrics", file("a 1\n")}})}, {"out", folder()}}};
    world.errors.emplace("out", Error{ErrorCode::Corrupt, "bad disk"});
    const CollectedResults collected = world.collect();
    EXPECT_EQ(collected.results.metrics.size(), 1U);
    EXPECT_NE(shown(collected.notes).find("bad disk"), std::string::npos);

    ResultCollector odd(kDir, {{"out", pathOf("out")}});
    const auto none = odd.finish([](const nix::StorePath&, const ByteSink& sink) { return sink("no archive at all"); });
    ASSERT_TRUE(none);
    EXPECT_EQ(none->results, protocol::NixResults{});
    EXPECT_EQ(none->notes.size(), 1U);
}

TEST(ResultCollector, EndsWhenTheMachineIsInTroubleOrNobodyWantsIt)
{
    for (const ErrorCode code : {ErrorCode::Cancelled, ErrorCode::Unavailable}) {
        World world{{{"out", folder()}}};
        world.errors.emplace("out", Error{code, "gone"});
        ResultCollector collector(kDir, world.outputs());
        const auto collected = collector.finish(world.reader());
        ASSERT_FALSE(collected);
        EXPECT_EQ(collected.error().code, code);
    }
}

TEST(ResultCollector, BoundsAllTextTogether)
{
    std::string products;
    std::map<std::string, Tree> files;
    for (int i = 0; i < 900; ++i) {
        const std::string name = fmt::format("{:0>200}", i);
        products += fmt::format("file x {}/{}\n", pathOf("out").print(kDir), name);
        files.emplace(name, file(""));
    }
    World world{{{"out", support({{"hydra-build-products", file(products)}}, std::move(files))}}};
    const CollectedResults collected = world.collect();
    EXPECT_LE(collected.results.byteCount(), protocol::kMaxResultsBytes);
    EXPECT_GT(collected.results.byteCount(), protocol::kMaxResultsBytes - 1000) << "as many as fit";
    EXPECT_NE(shown(collected.notes).find(fmt::format("{} products and 0 metrics are left out",
                                                      900 - collected.results.products.size())),
              std::string::npos)
        << shown(collected.notes);
}

TEST(ResultCollector, SharesTheRoomForFilesBetweenOutputs)
{
    const std::size_t half = nix::kMaxSupportFile / 2;
    World world{{{"out", support({{"hydra-metrics", file("a 1\n" + std::string(half, ' '))}})},
                 {"dev", support({{"hydra-metrics", file("b 1\n" + std::string(half - 4, ' '))}})}}};
    const CollectedResults collected = world.collect();
    ASSERT_EQ(collected.results.metrics.size(), 1U);
    EXPECT_EQ(collected.results.metrics[0].name, "b");
    EXPECT_NE(shown(collected.notes).find(std::to_string(half)), std::string::npos) << shown(collected.notes);
}

TEST(ResultCollector, QuotesNothingThatMovesACursor)
{
    World world{{{"out", support({{"hydra-metrics", file("\x1b[2J\x07 1\n")}})}}};
    const CollectedResults collected = world.collect();
    ASSERT_EQ(collected.notes.size(), 1U);
    EXPECT_EQ(collected.notes[0].find('\x1b'), std::string::npos);
    EXPECT_NE(collected.notes[0].find("?[2J?"), std::string::npos) << collected.notes[0];
}

TEST(ResultCollector, CountsEqualOutputsOnce)
{
    World world{{{"out", folder()}}};
    ResultCollector collector(kDir, {{"a", pathOf("out")}, {"b", pathOf("out")}});
    const auto collected = collector.finish(world.reader());
    ASSERT_TRUE(collected);
    ASSERT_EQ(collected->results.products.size(), 1U);
    EXPECT_EQ(collected->results.products[0].output, "a");
    EXPECT_EQ(world.reads["out"], 1);
}

} // namespace
} // namespace penstock::builder
