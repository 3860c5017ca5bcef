// SPDX-License-Identifier: GPL-3.0-or-later
// What every ObjectStore promises. A kind of store joins with INSTANTIATE_TEST_SUITE_P in a file of its own.
#include "tests/support/object_store_world.h"

#include <atomic>
#include <fmt/format.h>
#include <thread>

namespace penstock::cache {
namespace {

std::vector<std::string> keysOf(ObjectStore& store, std::string_view prefix = {})
{
    std::vector<std::string> keys;
    const auto done = store.list(prefix, [&](std::string_view key) {
        keys.emplace_back(key);
        return true;
    });
    EXPECT_TRUE(done) << done.error().message;
    return keys;
}

std::string pattern(std::size_t bytes)
{
    std::string text(bytes, '\0');
    for (std::size_t i = 0; i < bytes; ++i)
        text[i] = static_cast<char>((i * 31 + i / 251) & 0xFFU);
    return text;
}

Result<std::string> read(ObjectStore& store, std::string_view key, ByteRange range)
{
    std::string text;
    PENSTOCK_TRY_VOID(store.get(key, range, [&text](std::string_view bytes) -> Result<void> {
        text.append(bytes);
        return {};
    }));
    return text;
}

TEST_P(ObjectStoreContract, GivesBackWhatWasPut)
{
    ASSERT_TRUE(store->putText("nar/a.nar", "some bytes", {}));
    const auto info = store->head("nar/a.nar");
    ASSERT_TRUE(info && *info);
    EXPECT_EQ((*info)->size, 10U);
    EXPECT_EQ(store->getText("nar/a.nar", 10).value(), "some bytes");
}

TEST_P(ObjectStoreContract, AnotherProgramSeesIt)
{
    ASSERT_TRUE(store->putText("x", "1", {}));
    EXPECT_EQ(world->open()->getText("x", 10).value(), "1");
}

TEST_P(ObjectStoreContract, SaysNoneAndNotFoundForWhatIsNotThere)
{
    const auto info = store->head("nar/none");
    ASSERT_TRUE(info);
    EXPECT_FALSE(*info);
    EXPECT_EQ(store->getText("nar/none", 10).error().code, ErrorCode::NotFound);
    ASSERT_TRUE(store->putText("nar/a", "x", {}));
    EXPECT_FALSE(store->head("nar").value()) << "a folder is no object";
    EXPECT_FALSE(store->head("nar/a/b").value()) << "nor is what would be below an object";
}

TEST_P(ObjectStoreContract, KeepsAnEmptyObject)
{
    ASSERT_TRUE(store->putText("empty", "", {}));
    EXPECT_EQ(store->head("empty").value()->size, 0U);
    EXPECT_EQ(store->getText("empty", 0).value(), "");
}

TEST_P(ObjectStoreContract, StreamsALargeObjectInPieces)
{
    const std::string text = pattern(20U << 20U);
    const auto writer = store->create("nar/large", {});
    ASSERT_TRUE(writer);
    for (std::size_t at = 0, piece = 1; at < text.size(); at += piece, piece = piece * 3 + 1)
        ASSERT_TRUE((*writer)->write(std::string_view(text).substr(at, piece)));
    EXPECT_FALSE(store->head("nar/large").value()) << "not there before it is committed";
    ASSERT_TRUE((*writer)->commit());
    EXPECT_TRUE(read(*store, "nar/large", {}).value() == text);
}

TEST_P(ObjectStoreContract, ReadsRanges)
{
    const std::string text = pattern(100'000);
    ASSERT_TRUE(store->putText("r", text, {}));
    EXPECT_TRUE(read(*store, "r", {0, 1}).value() == text.substr(0, 1));
    EXPECT_TRUE(read(*store, "r", {70'000, 10}).value() == text.substr(70'000, 10));
    EXPECT_TRUE(read(*store, "r", {99'999, std::nullopt}).value() == text.substr(99'999));
    EXPECT_TRUE(read(*store, "r", {99'990, 1000}).value() == text.substr(99'990)) << "cut at the end";
    EXPECT_EQ(read(*store, "r", {100'000, std::nullopt}).error().code, ErrorCode::Invalid);
    EXPECT_EQ(read(*store, "r", {100'001, 5}).error().code, ErrorCode::Invalid);
}

TEST_P(ObjectStoreContract, LeavesNothingBehindOfAWriterThatIsDropped)
{
    {
        const auto writer = store->create("nar/dropped", {});
        ASSERT_TRUE(writer);
        ASSERT_TRUE((*writer)->write(pattern(9U << 20U)));
    }
    EXPECT_FALSE(store->head("nar/dropped").value());
    EXPECT_TRUE(keysOf(*store).empty());
}

TEST_P(ObjectStoreContract, ReplacesWholeOrNotAtAll)
{
    ASSERT_TRUE(store->putText("k", "old", {}));
    const auto writer = store->create("k", {});
    ASSERT_TRUE(writer);
    ASSERT_TRUE((*writer)->write("new and longer"));
    EXPECT_EQ(store->getText("k", 100).value(), "old");
    ASSERT_TRUE((*writer)->commit());
    EXPECT_EQ(store->getText("k", 100).value(), "new and longer");
}

TEST_P(ObjectStoreContract, DoesNotReplaceWhenOnlyAbsentOnesMayBePut)
{
    PutOptions options;
    options.ifAbsent = true;
    ASSERT_TRUE(store->putText("k", "first", options));
    EXPECT_EQ(store->putText("k", "second", options).error().code, ErrorCode::Conflict);
    EXPECT_EQ(store->getText("k", 100).value(), "first");
}

TEST_P(ObjectStoreContract, OneOfManyWhoPutAnAbsentOneWins)
{
    PutOptions options;
    options.ifAbsent = true;
    std::atomic<int> won{0};
    std::atomic<int> refused{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 6; ++i)
        threads.emplace_back([&, i] {
            const auto done = store->putText("raced", fmt::format("text of {}", i), options);
            if (done)
                ++won;
            else if (done.error().code == ErrorCode::Conflict)
                ++refused;
        });
    for (std::thread& thread : threads)
        thread.join();
    EXPECT_EQ(won, 1);
    EXPECT_EQ(refused, 5);
}

TEST_P(ObjectStoreContract, PutsManyAtOnce)
{
    std::vector<SmallObject> objects;
    for (int i = 0; i < 100; ++i)
        objects.push_back({fmt::format("many/{:03}", i), fmt::format("text {}", i), {}});
    ASSERT_TRUE(store->putMany(std::move(objects)));
    EXPECT_EQ(keysOf(*store, "many/").size(), 100U);
    EXPECT_EQ(store->getText("many/042", 100).value(), "text 42");
    EXPECT_TRUE(store->putMany({}));
}

TEST_P(ObjectStoreContract, PutsRoundsOneAfterTheOther)
{
    std::vector<std::vector<SmallObject>> rounds(3);
    for (int i = 0; i < 100; ++i)
        rounds[0].push_back({fmt::format("rounds/a{:03}", i), "text", {}});
    PutOptions absent;
    absent.ifAbsent = true;
    rounds[1].push_back({"rounds/a000", "the second", absent}); // is there by then
    rounds[2].push_back({"rounds/c", "text", {}});
    EXPECT_EQ(store->putRounds(std::move(rounds)).error().code, ErrorCode::Conflict);
    EXPECT_EQ(keysOf(*store, "rounds/").size(), 100U);
    EXPECT_FALSE(store->head("rounds/c").value());
    EXPECT_TRUE(store->putRounds({{{"rounds/c", "text", {}}}, {}, {{"rounds/d", "text", {}}}}));
    EXPECT_TRUE(store->head("rounds/d").value());
}

TEST_P(ObjectStoreContract, ALateSyncCoversWhatWasCommitted)
{
    PutOptions options;
    options.syncLater = true;
    ASSERT_TRUE(store->putText("nar/late", "text", options));
    EXPECT_EQ(store->getText("nar/late", 100).value(), "text");
    EXPECT_TRUE(store->sync({"nar/late"}));
}

TEST_P(ObjectStoreContract, RemovesAndMayDoSoTwice)
{
    ASSERT_TRUE(store->putText("k", "x", {}));
    EXPECT_TRUE(store->remove("k"));
    EXPECT_FALSE(store->head("k").value());
    EXPECT_TRUE(store->remove("k"));
    EXPECT_TRUE(store->remove("never/there"));
}

TEST_P(ObjectStoreContract, ListsKeysInTheOrderOfTheirBytes)
{
    for (const char* key : {"nar/b", "nar-x", "nar/a", "nar.y", "z", "log/1", "nar/sub/c", "nara"})
        ASSERT_TRUE(store->putText(key, "x", {}));
    EXPECT_EQ(keysOf(*store), (std::vector<std::string>{"log/1", "nar-x", "nar.y", "nar/a", "nar/b",
                                                        "nar/sub/c", "nara", "z"}));
    EXPECT_EQ(keysOf(*store, "nar/"), (std::vector<std::string>{"nar/a", "nar/b", "nar/sub/c"}));
    EXPECT_EQ(keysOf(*store, "nar"),
              (std::vector<std::string>{"nar-x", "nar.y", "nar/a", "nar/b", "nar/sub/c", "nara"}));
    EXPECT_TRUE(keysOf(*store, "none").empty());
    int seen = 0;
    ASSERT_TRUE(store->list("nar", [&seen](std::string_view) { return ++seen < 2; }));
    EXPECT_EQ(seen, 2) << "it stops when the visitor has had enough";
}

TEST_P(ObjectStoreContract, TakesKeysWithTheLettersThatNixUses)
{
    const std::string key =
        "realisations/sha256:539e49139b81781798667b7270f46aa680556fa0ee420e73f8e266646791cb87!out.doi";
    const std::string other = "log/w9285zka25gz1c406kdnnmnjwcl78cs4-a+b?c=d_e.drv";
    ASSERT_TRUE(store->putText(key, "1", {}));
    ASSERT_TRUE(store->putText(other, "2", {}));
    EXPECT_EQ(store->getText(key, 10).value(), "1");
    EXPECT_EQ(store->getText(other, 10).value(), "2");
    EXPECT_EQ(keysOf(*store), (std::vector<std::string>{other, key}));
}

TEST_P(ObjectStoreContract, RefusesKeysThatAreNone)
{
    const std::string nul("a\0b", 3);
    for (const std::string& key :
         {std::string(), std::string("/etc/passwd"), std::string("../up"), std::string("a/../b"),
          std::string("a//b"), std::string("a/"), std::string("./a"), std::string("a\nb"), nul,
          std::string("a/.hidden"), std::string(1025, 'x'), std::string(256, 'x')}) {
        EXPECT_EQ(store->putText(key, "x", {}).error().code, ErrorCode::Invalid) << key;
        EXPECT_EQ(store->head(key).error().code, ErrorCode::Invalid) << key;
        EXPECT_EQ(store->getText(key, 10).error().code, ErrorCode::Invalid) << key;
        EXPECT_EQ(store->remove(key).error().code, ErrorCode::Invalid) << key;
    }
}

TEST_P(ObjectStoreContract, RefusesATextAboveTheLimitOfTheReader)
{
    ASSERT_TRUE(store->putText("k", "12345", {}));
    EXPECT_EQ(store->getText("k", 5).value(), "12345");
    EXPECT_EQ(store->getText("k", 4).error().code, ErrorCode::Exhausted);
}

TEST_P(ObjectStoreContract, AnErrorOfTheSinkEndsTheTransferAndIsItsError)
{
    ASSERT_TRUE(store->putText("k", pattern(3U << 20U), {}));
    int calls = 0;
    const auto done = store->get("k", {}, [&calls](std::string_view) -> Result<void> {
        ++calls;
        return fail(ErrorCode::Cancelled, "enough");
    });
    EXPECT_EQ(done.error(), (Error{ErrorCode::Cancelled, "enough"}));
    EXPECT_EQ(calls, 1);
}

TEST_P(ObjectStoreContract, KeepsTypesWhereItCan)
{
    PutOptions options;
    options.contentType = "text/x-nix-narinfo";
    ASSERT_TRUE(store->putText("k", "x", options));
    EXPECT_EQ(store->head("k").value()->contentType, GetParam().keepsTypes ? "text/x-nix-narinfo" : "");
    options.contentEncoding = "zstd";
    const auto encoded = store->putText("e", "x", options);
    if (!GetParam().keepsTypes) {
        EXPECT_EQ(encoded.error().code, ErrorCode::Invalid) << "an encoding that is lost would be a lie";
        return;
    }
    ASSERT_TRUE(encoded);
    EXPECT_EQ(store->head("e").value()->contentEncoding, "zstd");
}

TEST_P(ObjectStoreContract, ManyThreadsMayUseItAtOnce)
{
    std::atomic<int> bad{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
        threads.emplace_back([&, t] {
            for (int i = 0; i < 20; ++i) {
                const std::string key = fmt::format("shared/{}-{}", t, i);
                if (!store->putText(key, key, {}) || store->getText(key, 100).value_or("") != key)
                    ++bad;
            }
        });
    for (std::thread& thread : threads)
        thread.join();
    EXPECT_EQ(bad, 0);
    EXPECT_EQ(keysOf(*store, "shared/").size(), 80U);
}

TEST_P(ObjectStoreContract, DescribesItself)
{
    EXPECT_FALSE(store->describe().empty());
}

} // namespace
} // namespace penstock::cache
