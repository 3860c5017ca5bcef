// SPDX-License-Identifier: GPL-3.0-or-later
// Reading from a BinaryCache, and the files beside: listings, logs, realisations, nix-cache-info.
#include "tests/unit/cache/cache_fixture.h"

#include <fmt/format.h>
#include <map>
#include <utility>

namespace penstock::cache {
namespace {

using nix::test::file;
using nix::test::folder;
using nix::test::link;

const TestPath kA = makePath("a");
const TestPath kB = makePath("b", {kA});
const TestPath kC = makePath("c", {kA, kB});

using BinaryCacheReads = CacheTest;
using BinaryCacheSides = CacheTest;

TEST_F(BinaryCacheReads, SaysWhatIsThere)
{
    const auto cache = open();
    ASSERT_TRUE(sendAndPublish(*cache, {kA, kB}));
    EXPECT_EQ(cache->findMany({kA.info.path, kB.info.path, kC.info.path}).value(),
              (nix::StorePathSet{kA.info.path, kB.info.path}));
    EXPECT_EQ(cache->findDigest(kA.info.path.digest()).value()->path, kA.info.path);
    EXPECT_FALSE(cache->findDigest(kC.info.path.digest()).value());
    EXPECT_EQ(cache->findDigest("../../etc/passwd").error().code, ErrorCode::Invalid);
    const auto sameDigest =
        nix::StorePath::fromBaseName(std::string(kA.info.path.digest()) + "-other").value();
    EXPECT_FALSE(cache->find(sameDigest).value());
    EXPECT_TRUE(cache->findMany({sameDigest}).value().empty());
}

TEST_F(BinaryCacheReads, ForgetsAfterAWhile)
{
    options.presence.positive = std::chrono::minutes(10);
    options.presence.negative = std::chrono::seconds(5);
    const auto cache = open();
    EXPECT_FALSE(cache->find(kA.info.path).value());
    ASSERT_TRUE(sendAndPublish(*open(), {kA})); // by another server
    EXPECT_FALSE(cache->find(kA.info.path).value()) << "remembered";
    clock.at = clock.at + std::chrono::seconds(6);
    EXPECT_TRUE(cache->find(kA.info.path).value());
    test::MemoryObjectStore store(objects);
    ASSERT_TRUE(store.remove(std::string(kA.info.path.digest()) + ".narinfo"));
    EXPECT_TRUE(cache->find(kA.info.path).value()) << "remembered";
    clock.at = clock.at + std::chrono::minutes(11);
    EXPECT_FALSE(cache->find(kA.info.path).value());
}

TEST_F(BinaryCacheReads, RemembersNoMoreThanItsBound)
{
    detail::Presence presence({std::chrono::hours(1), std::chrono::hours(1), 100, 1U << 20U});
    for (int i = 0; i < 1000; ++i)
        presence.put(fmt::format("{:032}", i), nullptr, {});
    EXPECT_EQ(presence.size(), 100U);
    EXPECT_TRUE(presence.find(fmt::format("{:032}", 999), {}));
    EXPECT_FALSE(presence.find(fmt::format("{:032}", 0), {}));
}

TEST_F(BinaryCacheReads, ForgetsWhatIsNotThereWhenItExpiresAndKeepsWhatIsThere)
{
    detail::Presence presence({std::chrono::hours(1), std::chrono::seconds(5), 100, 1U << 20U});
    const auto digest = [](int number) { return fmt::format("{:032}", number); };
    presence.put(digest(0), std::make_shared<const nix::NarInfo>(kA.info), {});
    for (int i = 1; i < 1000; ++i)
        presence.put(digest(i), nullptr, {});
    EXPECT_TRUE(presence.find(digest(0), {})) << "a flood of what is not there does not push it out";
    const Instant later{std::chrono::seconds(6)};
    presence.put(digest(1000), nullptr, later);
    EXPECT_EQ(presence.size(), 2U);
    EXPECT_TRUE(presence.find(digest(0), later));
}

TEST_F(BinaryCacheReads, ReadsRangesOfTheFileAndFindsDamage)
{
    const auto cache = open();
    ASSERT_TRUE(sendAndPublish(*cache, {kA}));
    const auto info = cache->find(kA.info.path).value();
    std::string piece;
    ASSERT_TRUE(cache->readFile(*info, {3, 5}, [&piece](std::string_view bytes) -> Result<void> {
        piece.append(bytes);
        return {};
    }));
    EXPECT_EQ(piece, text(info->url).substr(3, 5));
    test::MemoryObjectStore store(objects);
    ASSERT_TRUE(store.putText(info->url, compressed(kB.nar, compress::Method::Zstd), {}));
    EXPECT_EQ(cache->readNar(*info, [](std::string_view) -> Result<void> { return {}; }).error().code,
              ErrorCode::Corrupt);
    ASSERT_EQ(faults().size(), 1U) << "the checker, too";
    EXPECT_TRUE(faults()[0].starts_with("wrong file"));
}

TEST_F(BinaryCacheReads, ABadNarInfoIsNotTakenForAbsent)
{
    const auto cache = open();
    test::MemoryObjectStore store(objects);
    ASSERT_TRUE(store.putText(std::string(kA.info.path.digest()) + ".narinfo", "StorePath: nonsense\n", {}));
    EXPECT_EQ(cache->find(kA.info.path).error().code, ErrorCode::Corrupt);
    ASSERT_EQ(faults().size(), 1U);
    EXPECT_TRUE(faults()[0].starts_with("bad narinfo"));
}

TEST_F(BinaryCacheReads, ANarInfoThatIsTooLargeIsABadOne)
{
    const auto cache = open();
    test::MemoryObjectStore store(objects);
    const std::string huge(nix::kMaxNarInfoBytes + 1, 'x');
    ASSERT_TRUE(store.putText(std::string(kA.info.path.digest()) + ".narinfo", huge, {}));
    EXPECT_EQ(cache->findMany({kA.info.path}).error().code, ErrorCode::Corrupt);
}

TEST_F(BinaryCacheSides, WritesNixCacheInfoOnceAndRefusesAnotherStoreDirectory)
{
    options.priority = 30;
    ASSERT_TRUE(tryOpen());
    EXPECT_EQ(text("nix-cache-info"), "StoreDir: /nix/store\nWantMassQuery: 1\nPriority: 30\n");
    options.priority = 40;
    ASSERT_TRUE(tryOpen());
    EXPECT_NE(text("nix-cache-info").find("Priority: 30"), std::string::npos) << "it is the operator's now";
    options.storeDir = nix::StoreDir::parse("/other/store").value();
    const auto other = tryOpen();
    ASSERT_FALSE(other);
    EXPECT_EQ(other.error().code, ErrorCode::Invalid);
    EXPECT_NE(other.error().message.find("/nix/store"), std::string::npos);
}

TEST_F(BinaryCacheSides, RefusesALevelThatTheMethodDoesNotHave)
{
    options.encoding = {compress::Method::Xz, 42};
    EXPECT_EQ(tryOpen().error().code, ErrorCode::Invalid);
}

TEST_F(BinaryCacheSides, WritesListingsAsNixDoes)
{
    options.writeListings = true;
    const auto cache = open();
    const TestPath path = makePath(
        "listed", folder({{"bin", folder({{"link", link("run")}, {"run", file("#!/bin/sh\n", true)}})},
                          {"empty", folder()},
                          {"q\"uote", file("")}}));
    ASSERT_TRUE(sendAndPublish(*cache, {path}));
    const std::string listing =
        cache->readSideFile(std::string(path.info.path.digest()) + ".ls", 1U << 20U).value().value();
    EXPECT_TRUE(listing.starts_with(
        R"({"version":1,"root":{"type":"directory","entries":{"bin":{"type":"directory","entries":{)"
        R"("link":{"type":"symlink","target":"run"},"run":{"type":"regular","size":10,"executable":true,)"
        R"("narOffset":)"))
        << listing;
    EXPECT_NE(
        listing.find(R"("empty":{"type":"directory","entries":{}},"q\"uote":{"type":"regular","size":0)"),
        std::string::npos)
        << listing;
    const TestPath bytes = makePath("bytes", folder({{"\xFF", file("x")}}));
    ASSERT_TRUE(sendAndPublish(*cache, {bytes}))
        << "a name that JSON cannot say is no reason to refuse the path";
    EXPECT_FALSE(cache->readSideFile(std::string(bytes.info.path.digest()) + ".ls", 1U << 20U).value());
}

TEST_F(BinaryCacheSides, MakesAListingThatIsTooLargeForMemoryFromTheStoredNar)
{
    options.writeListings = true;
    const auto cache = open();
    std::map<std::string, nix::test::Tree> entries;
    for (int i = 0; i < 20'000; ++i)
        entries.emplace(fmt::format("a-file-with-a-rather-long-name-{:06}", i), file("x"));
    const TestPath path = makePath("large", folder(std::move(entries)));
    ASSERT_TRUE(sendAndPublish(*cache, {path}));
    const std::string listing = text(std::string(path.info.path.digest()) + ".ls");
    EXPECT_GT(listing.size(), detail::kMaxKeptListing);
    EXPECT_NE(listing.find("long-name-019999\""), std::string::npos);
    EXPECT_TRUE(listing.ends_with("}}}"));
}

TEST_F(BinaryCacheSides, CompressesSmallFilesAndReadsThemBack)
{
    for (const auto method :
         {compress::Method::Zstd, compress::Method::Xz, compress::Method::Bzip2, compress::Method::Brotli}) {
        objects = std::make_shared<test::MemoryObjects>();
        options.narInfoCompression = options.listingCompression = options.logCompression = method;
        options.writeListings = true;
        auto cache = open();
        ASSERT_TRUE(sendAndPublish(*cache, {kA}));
        cache = open();
        EXPECT_TRUE(cache->find(kA.info.path).value());
        test::MemoryObjectStore store(objects);
        const std::string key = std::string(kA.info.path.digest()) + ".narinfo";
        EXPECT_EQ(store.head(key).value()->contentEncoding, compress::toString(method));
        EXPECT_TRUE(cache->readSideFile(std::string(kA.info.path.digest()) + ".ls", 10'000)
                        .value()
                        ->starts_with("{"));
        bool isGiven = false;
        ASSERT_TRUE(
            cache->putLog(std::string(32, 'a') + "-x.drv", [&](std::span<char> to) -> Result<std::size_t> {
                if (std::exchange(isGiven, true))
                    return 0;
                return std::string_view("the log").copy(to.data(), to.size());
            }));
        EXPECT_EQ(cache->getLog(std::string(32, 'a') + "-x.drv", 100).value(), "the log");
    }
}

TEST_F(BinaryCacheSides, KeepsLogsOfDerivationsOnly)
{
    const auto cache = open();
    const ByteSource none = [](std::span<char>) -> Result<std::size_t> { return 0; };
    EXPECT_EQ(cache->putLog("../x.drv", none).error().code, ErrorCode::Invalid);
    EXPECT_EQ(cache->putLog(std::string(32, 'a') + "-x", none).error().code, ErrorCode::Invalid);
    EXPECT_FALSE(cache->getLog(std::string(32, 'a') + "-x.drv", 100).value());
}

TEST_F(BinaryCacheSides, SignsRealisationsOfPathsThatAreThere)
{
    options.keys = {testKey()};
    const auto cache = open();
    const nix::Realisation realisation{{nix::hashOf("x"), "out"}, kA.info.path, {}, {}};
    EXPECT_EQ(cache->putRealisation(realisation).error().code, ErrorCode::Invalid) << "the path comes first";
    ASSERT_TRUE(sendAndPublish(*cache, {kA}));
    ASSERT_TRUE(cache->putRealisation(realisation));
    const auto written = nix::parseRealisation(
        cache->readSideFile("realisations/sha256:" + nix::hashOf("x").base16() + "!out.doi", 10'000)
            .value()
            .value());
    ASSERT_TRUE(written);
    EXPECT_EQ(written->path, kA.info.path);
    EXPECT_TRUE(nix::isSignedBy({testKey().publicKey()}, *written));
}

TEST_F(CacheTest, AStoreThatIsAwayIsOpenedAndLookedAtBeforeAnythingIsShown)
{
    bool isAway = true;
    objects->onOperation = [&isAway](std::string_view, std::string_view) -> Result<void> {
        return isAway ? Result<void>(fail(ErrorCode::Unavailable, "no route")) : Result<void>();
    };
    EXPECT_EQ(tryOpen().error().code, ErrorCode::Unavailable);
    options.mayBeAway = true;
    const auto cache = open();
    const auto path = makePath("p");
    EXPECT_EQ(cache->find(path.info.path).error().code, ErrorCode::Unavailable) << "not known";
    isAway = false;
    test::MemoryObjectStore store(objects);
    ASSERT_TRUE(store.putText("nix-cache-info", "StoreDir: /other/store\n", {}));
    EXPECT_EQ(sendAndPublish(*cache, {path}).error().code, ErrorCode::Invalid) << "another store directory";
    EXPECT_FALSE(cache->find(path.info.path).value());
    EXPECT_EQ(tryOpen().error().code, ErrorCode::Invalid) << "another try cannot change it";
    ASSERT_TRUE(store.remove("nix-cache-info"));
    ASSERT_TRUE(sendAndPublish(*cache, {path}));
    EXPECT_NE(text("nix-cache-info").find("StoreDir: /nix/store"), std::string::npos);
}

} // namespace
} // namespace penstock::cache
