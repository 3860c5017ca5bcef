// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/cache/fallback_store.h"

#include "server/cache/local_store.h"
#include "tests/support/memory_nix_store.h"
#include "tests/unit/cache/cache_fixture.h"

namespace penstock::cache {
namespace {

// A cache, and behind it a machine's own store with paths that nobody published.
struct FallbackStoreTest : CacheTest {
    test::MemoryNixStore nix;
    std::shared_ptr<test::MemoryObjects> beside = std::make_shared<test::MemoryObjects>();
    std::shared_ptr<test::MemoryObjectStore> firstFiles = std::make_shared<test::MemoryObjectStore>(objects);
    std::unique_ptr<BinaryCache> first = CacheTest::open();
    std::unique_ptr<LocalStore> local = openLocal();
    FallbackStore store{{*first, firstFiles.get()}, {*local, &local->files()}, {testKey("server.test-1")}};
    TestPath shared = makePath("shared");
    TestPath source = makePath("source", {shared});

    std::unique_ptr<LocalStore> openLocal()
    {
        LocalStoreOptions plain;
        plain.pathOfDigest = [this](std::string_view digest) { return nix.pathOfDigest(digest); };
        return LocalStore::open(nix, std::make_unique<test::MemoryObjectStore>(beside), plain, logger).value();
    }
    void addHere(const TestPath& path)
    {
        std::string_view rest = path.nar;
        ASSERT_TRUE(nix.addNar(path.info, [&rest](std::span<char> buffer) -> Result<std::size_t> {
            const std::size_t count = rest.copy(buffer.data(), buffer.size());
            rest.remove_prefix(count);
            return count;
        }));
    }
    std::string file(const std::string& key) { return store.files().getText(key, 1U << 20U).value_or("(none)"); }
};

TEST_F(FallbackStoreTest, WhatTheFirstHasComesFromThere)
{
    ASSERT_TRUE(sendAndPublish(*first, {shared}));
    addHere(shared);
    const auto info = store.find(shared.info.path).value();
    ASSERT_TRUE(info);
    EXPECT_EQ(*info, *first->find(shared.info.path).value());
    EXPECT_EQ(readAll(store, *info), shared.nar);
    EXPECT_EQ(file(info->url), text(info->url));
}

TEST_F(FallbackStoreTest, WhatOnlyTheMachineHasIsThereToBeReadAndSigned)
{
    ASSERT_TRUE(sendAndPublish(*first, {shared}));
    addHere(shared);
    addHere(source);
    const auto info = store.find(source.info.path).value();
    ASSERT_TRUE(info);
    EXPECT_TRUE(nix::isSignedBy({testKey("server.test-1").publicKey()}, info->signatures,
                                nix::fingerprint(nix::StoreDir::standard(), *info)));
    EXPECT_EQ(store.findDigest(source.info.path.digest()).value(), info);
    EXPECT_EQ(readAll(store, *info), source.nar);
    EXPECT_EQ(store.files().head(info->url).value()->size, source.nar.size());
    EXPECT_EQ(file(info->url), source.nar);
    EXPECT_EQ(store.findMany({shared.info.path, source.info.path, makePath("none").info.path}).value().size(), 2U);
    EXPECT_FALSE(first->find(source.info.path).value()) << "reading brings nothing there";
}

TEST_F(FallbackStoreTest, WhatNobodyHasIsNotThere)
{
    EXPECT_FALSE(store.find(source.info.path).value());
    EXPECT_FALSE(store.findDigest(source.info.path.digest()).value());
    EXPECT_FALSE(store.files().head("nar/0000000000000000000000000000000000000000000000000000.nar.zst").value());
    EXPECT_EQ(file("nar/none"), "(none)");
}

TEST_F(FallbackStoreTest, AFirstStoreThatDoesNotAnswerIsNotTakenForAnEmptyOne)
{
    addHere(shared);
    objects->onOperation = [](std::string_view, std::string_view) -> Result<void> {
        return fail(ErrorCode::Unavailable, "away");
    };
    EXPECT_FALSE(store.find(shared.info.path));
    EXPECT_FALSE(store.findDigest(shared.info.path.digest()));
    EXPECT_FALSE(store.findMany({shared.info.path}));
}

TEST_F(FallbackStoreTest, WhatIsWrittenGoesToTheFirst)
{
    ASSERT_TRUE(sendAndPublish(store, {shared}));
    EXPECT_TRUE(first->find(shared.info.path).value());
    EXPECT_TRUE(nix.added().empty());
    EXPECT_EQ(store.files().putText("nar/x", "text", {}).error().code, ErrorCode::Invalid);
}

TEST_F(FallbackStoreTest, LogsBehindAreNobodysBusiness)
{
    ASSERT_TRUE(test::MemoryObjectStore(beside).putText("log/x.drv", "private", {}));
    EXPECT_EQ(file("log/x.drv"), "(none)");
}

} // namespace
} // namespace penstock::cache
