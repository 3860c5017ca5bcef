// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/derivation_texts.h"

#include "server/jobs/build_spec.h"
#include "shared/base/passing.h"
#include "tests/support/golden.h"
#include "tests/support/hooked_store.h"
#include "tests/support/pumped_loop.h"
#include "tests/support/store_rows.h"
#include "tests/support/temp_directory.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <optional>

namespace penstock::app {
namespace {

using Found = std::vector<Result<DerivationTexts::Text>>;

struct Golden {
    std::string path;
    std::string text;
};

Golden golden(std::string_view name)
{
    for (const auto& line : test::readGoldenTable("nix/drv.tsv"))
        if (line[0] == name)
            return {line[1], test::readGolden("nix/drv/" + line[0] + ".drv")};
    ADD_FAILURE() << "no golden derivation " << name;
    return {};
}

struct DerivationTextsTest : ::testing::Test {
    void SetUp() override
    {
        ASSERT_TRUE(store.loadOpen().has_value());
        start({});
    }
    void start(TextOptions options)
    {
        options.realDir = folder.path();
        texts.emplace(loop, store, nix::StoreDir::standard(), std::move(options));
    }
    // Its file, as the server's own Nix store has it.
    std::string putFile(std::string_view name) const
    {
        const Golden drv = golden(name);
        std::ofstream(fileOf(drv.path), std::ios::binary) << drv.text;
        return drv.path;
    }
    std::string fileOf(const std::string& path) const { return folder.path() + path.substr(path.rfind('/')); }
    void putRow(std::uint64_t id, const std::string& path, const std::string& drv)
    {
        work::StepRow row = store::nixStep(id);
        const std::vector<std::string> inputs{"/nix/store/in-of-" + std::to_string(id)};
        row.spec.work = std::make_shared<const work::Work>(work::NixWork{path, drv, inputs, {{"out", ""}}});
        store.add(std::move(row));
    }
    Found find(std::vector<DerivationTexts::Wanted> wanted)
    {
        std::optional<Found> found;
        texts->find(std::move(wanted), [&found](Found answer) { found = std::move(answer); });
        loop.until([&found] { return found.has_value(); });
        return *std::move(found);
    }

    test::TempDirectory folder;
    test::PumpedLoop loop;
    test::HookedStore store;
    std::optional<DerivationTexts> texts;
};

TEST_F(DerivationTextsTest, GiveWhatAClientSent)
{
    putRow(7, "/nix/store/a.drv", "Derive(a)");
    putRow(8, "/nix/store/b.drv", "Derive(b)");
    const Found found = find({{StepId(8), "/nix/store/b.drv"}, {StepId(7), "/nix/store/a.drv"}});
    ASSERT_EQ(found.size(), 2U);
    ASSERT_TRUE(found[0]) << found[0].error().message;
    EXPECT_EQ((*found[0])->drv, "Derive(b)");
    EXPECT_EQ((*found[0])->inputPaths, std::vector<std::string>{"/nix/store/in-of-8"});
    EXPECT_EQ((*found[1])->drv, "Derive(a)");
    EXPECT_EQ(store.questions, 1U) << "one question for all";
}

TEST_F(DerivationTextsTest, GiveTheFileWhereNothingWasSent)
{
    for (const auto name : {"deps2", "multi", "deps", "simple"})
        static_cast<void>(putFile(name));
    const Golden deps = golden("deps");
    putRow(7, deps.path, "");
    const Found found = find({{StepId(7), deps.path}});
    ASSERT_TRUE(found[0]) << found[0].error().message;
    EXPECT_EQ((*found[0])->drv, deps.text);

    // As a client's upload of the same would have it.
    jobs::BuildAssembler assembler(nix::StoreDir::standard(), 1U << 20U);
    for (const auto name : {"simple", "multi", "deps"})
        ASSERT_TRUE(assembler.add(golden(name).path, golden(name).text));
    const auto job = std::move(assembler).finish(std::vector{deps.path}, {}, {"rich", {}});
    ASSERT_TRUE(job) << job.error().message;
    EXPECT_EQ((*found[0])->inputPaths, std::get<work::NixWork>(*job->steps.back().spec.work).inputPaths);
    EXPECT_EQ((*found[0])->inputPaths.size(), 4U);
}

TEST_F(DerivationTextsTest, LeaveOutInputsThatOnlyABuildCanTell)
{
    static_cast<void>(putFile("floating"));
    const Found found = find({{StepId(1), putFile("deferred")}});
    ASSERT_TRUE(found[0]) << found[0].error().message;
    EXPECT_TRUE((*found[0])->inputPaths.empty());
}

TEST_F(DerivationTextsTest, NameTheFileThatVanishedAndGiveTheOthers)
{
    const std::string simple = putFile("simple");
    const Found found = find({{StepId(7), golden("multi").path}, {StepId(8), simple}});
    ASSERT_FALSE(found[0]);
    EXPECT_EQ(found[0].error().code, ErrorCode::NotFound);
    EXPECT_FALSE(isPassing(found[0].error()));
    EXPECT_NE(found[0].error().message.find(golden("multi").path), std::string::npos) << found[0].error().message;
    EXPECT_NE(found[0].error().message.find("step 7"), std::string::npos);
    EXPECT_TRUE(found[1]);
    // It may be back later.
    static_cast<void>(putFile("multi"));
    EXPECT_TRUE(find({{StepId(7), golden("multi").path}})[0]);
}

TEST_F(DerivationTextsTest, NameTheInputWhoseFileVanished)
{
    static_cast<void>(putFile("simple"));
    const Found found = find({{StepId(7), putFile("deps")}});
    ASSERT_FALSE(found[0]);
    EXPECT_EQ(found[0].error().code, ErrorCode::NotFound);
    EXPECT_NE(found[0].error().message.find(golden("multi").path.substr(11)), std::string::npos)
        << found[0].error().message;
}

TEST_F(DerivationTextsTest, RefuseAFileThatIsAnotherText)
{
    const std::string path = putFile("simple");
    std::ofstream(fileOf(path), std::ios::binary | std::ios::app) << ' ';
    const Found found = find({{StepId(7), path}, {StepId(8), "/somewhere/else.drv"}});
    ASSERT_FALSE(found[0]);
    EXPECT_EQ(found[0].error().code, ErrorCode::Corrupt);
    EXPECT_NE(found[0].error().message.find(path.substr(11)), std::string::npos) << found[0].error().message;
    ASSERT_FALSE(found[1]);
    EXPECT_EQ(found[1].error().code, ErrorCode::Corrupt);
}

TEST_F(DerivationTextsTest, KeepWhatWasReadLatelyWithinTheirBound)
{
    start({.cacheBytes = 5'000});
    for (std::uint64_t id = 1; id <= 3; ++id)
        putRow(id, "/nix/store/" + std::to_string(id), std::string(2'000, 'x'));
    const auto ask = [&](std::uint64_t id) {
        const std::size_t before = store.questions;
        EXPECT_TRUE(find({{StepId(id), "/nix/store/" + std::to_string(id)}})[0]);
        return store.questions - before;
    };
    EXPECT_EQ(ask(1), 1U);
    EXPECT_EQ(ask(2), 1U);
    EXPECT_EQ(ask(1), 0U);
    EXPECT_EQ(ask(3), 1U); // in the place of 2
    EXPECT_EQ(ask(1), 0U);
    EXPECT_EQ(ask(2), 1U);
}

TEST_F(DerivationTextsTest, OneBadRowIsNobodyElsesTrouble)
{
    for (std::uint64_t id = 1; id <= 3; ++id)
        putRow(id, "/nix/store/" + std::to_string(id), "x");
    store.refuse = [](const std::vector<StepId>& steps) -> std::optional<Error> {
        if (std::ranges::find(steps, StepId(2)) == steps.end())
            return std::nullopt;
        return Error{ErrorCode::Corrupt, "cannot be read"};
    };
    const Found found = find({{StepId(1), "/nix/store/1"}, {StepId(2), "/nix/store/2"}, {StepId(3), "/nix/store/3"}});
    EXPECT_TRUE(found[0]);
    ASSERT_FALSE(found[1]);
    EXPECT_EQ(found[1].error().message, "/nix/store/2: cannot be read");
    EXPECT_TRUE(found[2]);
    EXPECT_EQ(store.questions, 4U);
}

TEST_F(DerivationTextsTest, ADatabaseThatIsAwayIsAskedOnceAndMayBeAskedAgain)
{
    store.refuse = [](const auto&) { return Error{ErrorCode::Unavailable, "no route"}; };
    putRow(1, "/nix/store/1", "x");
    const Found found = find({{StepId(1), "/nix/store/1"}, {StepId(2), "/nix/store/2"}});
    ASSERT_FALSE(found[0]);
    EXPECT_TRUE(isPassing(found[0].error()));
    EXPECT_EQ(store.questions, 1U);
    store.refuse = {};
    EXPECT_TRUE(find({{StepId(1), "/nix/store/1"}})[0]);
}

TEST_F(DerivationTextsTest, FilesFirstAsksTheDatabaseForTheRestOnly)
{
    start({.isFilesFirst = true});
    const std::string simple = putFile("simple");
    EXPECT_TRUE(find({{StepId(1), simple}})[0]);
    EXPECT_EQ(store.questions, 0U);
    putRow(2, "/nix/store/" + std::string(32, 'a') + "-x.drv", "Derive(x)");
    EXPECT_TRUE(find({{StepId(2), "/nix/store/" + std::string(32, 'a') + "-x.drv"}})[0]);
    EXPECT_EQ(store.questions, 1U);
    const Found none = find({{StepId(3), "/nix/store/" + std::string(32, 'b') + "-x.drv"}});
    ASSERT_FALSE(none[0]);
    EXPECT_EQ(none[0].error().code, ErrorCode::NotFound);
}

TEST(ByteCache, ReplacesAndRefusesWhatAloneIsTooMuch)
{
    detail::ByteCache<int> cache(1'000);
    cache.put("a", std::make_shared<const int>(1), 100);
    cache.put("a", std::make_shared<const int>(2), 200);
    EXPECT_EQ(cache.size(), 1U);
    EXPECT_EQ(*cache.find("a"), 2);
    cache.put("b", std::make_shared<const int>(3), 1'000);
    EXPECT_EQ(cache.find("b"), nullptr);
    EXPECT_EQ(*cache.find("a"), 2);
    cache.put("a", std::make_shared<const int>(4), 1'000); // goes, as it is not the same any more
    EXPECT_EQ(cache.find("a"), nullptr);
    EXPECT_EQ(cache.bytes(), 0U);
}

} // namespace
} // namespace penstock::app
