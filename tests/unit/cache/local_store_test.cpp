// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/cache/local_store.h"
#include "tests/support/memory_nix_store.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/cache/cache_fixture.h"

#include <filesystem>
#include <fmt/format.h>

namespace penstock::cache {
namespace {

struct LocalStoreTest : CacheTest {
    test::MemoryNixStore nix;
    test::TempDirectory directory;
    TestPath a = makePath("a");
    TestPath b = makePath("b", {a});
    TestPath c = makePath("c", {a, b});

    std::size_t maxRoots = 100;

    std::unique_ptr<LocalStore> open()
    {
        LocalStoreOptions local;
        local.keys = {testKey()};
        local.rootsDirectory = directory.path() + "/roots";
        local.maxRoots = maxRoots;
        local.pathOfDigest = [this](std::string_view digest) { return nix.pathOfDigest(digest); };
        auto store = LocalStore::open(nix, std::make_unique<test::MemoryObjectStore>(objects), local, logger);
        EXPECT_TRUE(store) << store.error().message;
        return *std::move(store);
    }
};

TEST_F(LocalStoreTest, AddsReferencesFirstAndSigns)
{
    const auto store = open();
    ASSERT_TRUE(sendAndPublish(*store, {c, b, a}));
    EXPECT_EQ(nix.added(), (std::vector{a.info.path, b.info.path, c.info.path}));
    const auto info = store->find(c.info.path).value();
    ASSERT_TRUE(info);
    EXPECT_EQ(info->url, "nar/" + std::string(c.info.path.digest()) + "-" + c.info.narHash.base32() + ".nar");
    EXPECT_EQ(info->compression, "none");
    EXPECT_EQ(info->fileSize, c.info.narSize);
    EXPECT_TRUE(nix::isSignedBy({testKey().publicKey()}, info->signatures,
                                nix::fingerprint(nix::StoreDir::standard(), *info)));
    EXPECT_EQ(readAll(*store, *info), c.nar);
    EXPECT_EQ(keys(), std::vector<std::string>{}) << "what was staged is gone";
    const auto roots = nix.roots();
    ASSERT_EQ(roots.size(), 3U);
    EXPECT_EQ(roots.at(directory.path() + "/roots/" + a.info.path.baseName()), a.info.path);
}

TEST_F(LocalStoreTest, TakesEveryCompression)
{
    for (const auto body :
         {compress::Method::None, compress::Method::Xz, compress::Method::Brotli, compress::Method::Zstd}) {
        const auto store = open();
        const TestPath path = makePath(std::string("p-") + std::string(compress::toString(body)));
        const auto staged = send(*store, path, body);
        ASSERT_TRUE(staged) << staged.error().message;
        EXPECT_FALSE(store->find(path.info.path).value()) << "out of sight until it is published";
        ASSERT_TRUE(store->publish({*staged}));
        EXPECT_TRUE(store->find(path.info.path).value());
    }
}

TEST_F(LocalStoreTest, IsReadAsFilesOfABinaryCache)
{
    const auto store = open();
    ASSERT_TRUE(sendAndPublish(*store, {a}));
    auto& files = store->files();
    const auto key = store->find(a.info.path).value()->url;
    const auto object = files.head(key).value();
    ASSERT_TRUE(object);
    EXPECT_EQ(object->size, a.nar.size());
    EXPECT_EQ(files.getText(key, a.nar.size()).value(), a.nar);
    const auto digest = std::string(a.info.path.digest());
    for (const auto& wrong : {"nar/" + a.info.narHash.base32() + ".nar",
                              "nar/" + digest + "-" + b.info.narHash.base32() + ".nar", "nar/" + digest,
                              std::string("staged/1-x"), std::string("nix-cache-info")}) {
        EXPECT_FALSE(files.head(wrong).value()) << wrong;
        EXPECT_EQ(files.getText(wrong, 100).error().code, ErrorCode::NotFound) << wrong;
    }
    EXPECT_EQ(files.putText("log/x", "text", {}).error().code, ErrorCode::Invalid);
}

TEST_F(LocalStoreTest, ForgetsWhatNobodyPublishes)
{
    const auto store = open();
    const auto staged = send(*store, a);
    ASSERT_TRUE(staged && send(*store, b));
    EXPECT_EQ(keys("staged/").size(), 2U);
    ASSERT_TRUE(store->files().remove(staged->url));
    EXPECT_EQ(keys("staged/").size(), 1U);
    EXPECT_EQ(store->publish({*staged}).error().code, ErrorCode::Invalid);
}

TEST_F(LocalStoreTest, TheOldestRootsGoBeyondTheLimit)
{
    const auto place = directory.path() + "/roots";
    std::filesystem::create_directory(place);
    std::filesystem::create_directory(place + "/not-ours");
    for (int i = 0; i < 30; ++i)
        std::filesystem::create_symlink("/nix/store/x", fmt::format("{}/{:02}", place, i));
    maxRoots = 20;
    const auto store = open();
    ASSERT_TRUE(sendAndPublish(*store, {a}));
    EXPECT_FALSE(std::filesystem::is_symlink(place + "/11"));
    EXPECT_TRUE(std::filesystem::is_symlink(place + "/12")) << "a tenth below the limit";
    EXPECT_TRUE(std::filesystem::is_symlink(place + "/29"));
    EXPECT_TRUE(std::filesystem::is_directory(place + "/not-ours"));
}

TEST_F(LocalStoreTest, ReadsRangesBySkipping)
{
    const auto store = open();
    ASSERT_TRUE(sendAndPublish(*store, {a}));
    const auto info = store->findDigest(a.info.path.digest()).value();
    ASSERT_TRUE(info);
    const auto range = [&](ByteRange wanted) {
        std::string bytes;
        const auto done = store->readFile(*info, wanted, [&bytes](std::string_view piece) -> Result<void> {
            bytes.append(piece);
            return {};
        });
        EXPECT_TRUE(done) << done.error().message;
        return bytes;
    };
    EXPECT_EQ(range({}), a.nar);
    EXPECT_EQ(range({0, 1}), a.nar.substr(0, 1));
    EXPECT_EQ(range({49, 3}), a.nar.substr(49, 3));
    EXPECT_EQ(range({100, std::nullopt}), a.nar.substr(100));
    EXPECT_EQ(range({100, 1U << 20U}), a.nar.substr(100));
    const auto nothing =
        store->readFile(*info, {a.nar.size(), 1}, [](std::string_view) -> Result<void> { return {}; });
    EXPECT_EQ(nothing.error().code, ErrorCode::Invalid);
    const auto refused =
        store->readFile(*info, {3, 5}, [](std::string_view) { return fail(ErrorCode::Denied, "no"); });
    EXPECT_EQ(refused.error().code, ErrorCode::Denied) << "the sink's error is told";
}

TEST_F(LocalStoreTest, RefusesLiesAndMissingReferences)
{
    const auto store = open();
    TestPath lie = a;
    lie.nar = b.nar;
    EXPECT_EQ(send(*store, lie).error().code, ErrorCode::Corrupt);
    EXPECT_EQ(sendAndPublish(*store, {b}).error().code, ErrorCode::Invalid);
    nix::NarInfo neverSent = a.info;
    EXPECT_EQ(store->publish({neverSent}).error().code, ErrorCode::Invalid);
    EXPECT_EQ(store->adopt(a.info, compress::Method::Zstd).error().code, ErrorCode::Invalid);
    EXPECT_TRUE(nix.added().empty());
}

TEST_F(LocalStoreTest, MayBeRepeatedAfterAFailureInTheMiddle)
{
    const auto store = open();
    nix.onAdd = [this](const nix::NarInfo& info) -> Result<void> {
        return info.path == b.info.path ? Result<void>(fail(ErrorCode::Unavailable, "no daemon"))
                                        : Result<void>();
    };
    EXPECT_EQ(sendAndPublish(*store, {a, b, c}).error().code, ErrorCode::Unavailable);
    nix.onAdd = nullptr;
    ASSERT_TRUE(sendAndPublish(*store, {a, b, c}));
    EXPECT_EQ(nix.added(), (std::vector{a.info.path, b.info.path, c.info.path}));
    EXPECT_EQ(keys("staged/"), std::vector<std::string>{});
}

TEST_F(LocalStoreTest, RemovesWhatAFormerRunStaged)
{
    ASSERT_TRUE(send(*open(), a));
    EXPECT_EQ(keys("staged/").size(), 1U);
    const auto store = open();
    EXPECT_EQ(keys("staged/").size(), 0U);
}

TEST_F(LocalStoreTest, KeepsLogsAndRealisationsBeside)
{
    const auto store = open();
    ASSERT_TRUE(sendAndPublish(*store, {a}));
    bool isGiven = false;
    const std::string drv = std::string(32, 'a') + "-x.drv";
    ASSERT_TRUE(store->putLog(drv, [&](std::span<char> to) -> Result<std::size_t> {
        return std::exchange(isGiven, true) ? 0 : std::string_view("the log").copy(to.data(), to.size());
    }));
    EXPECT_EQ(store->getLog(drv, 100).value(), "the log");
    ASSERT_TRUE(store->putRealisation({{nix::hashOf("x"), "out"}, a.info.path, {}, {}}));
    EXPECT_TRUE(
        store->readSideFile("realisations/sha256:" + nix::hashOf("x").base16() + "!out.doi", 10'000).value());
    EXPECT_FALSE(store->readSideFile(std::string(32, 'a') + ".ls", 100).value());
}

} // namespace
} // namespace penstock::cache
