// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/unit/cache/cache_fixture.h"

#include <algorithm>
#include <fmt/format.h>
#include <thread>

namespace penstock::cache {
namespace {

using nix::test::file;
using nix::test::folder;

const TestPath kA = makePath("a");
const TestPath kB = makePath("b", {kA});
const TestPath kC = makePath("c", {kA, kB});

using BinaryCacheIntake = CacheTest;
using BinaryCachePublish = CacheTest;

TEST_F(BinaryCacheIntake, KeepsABodyOfItsOwnCompressionAsItCame)
{
    const auto cache = open();
    const auto staged = send(*cache, kA, compress::Method::Zstd);
    ASSERT_TRUE(staged) << staged.error().message;
    EXPECT_EQ(staged->url, fmt::format("nar/{}.nar.zst", kA.info.narHash.base32()));
    EXPECT_EQ(staged->url, cache->narKey(kA.info));
    EXPECT_EQ(staged->compression, "zstd");
    const std::string body = compressed(kA.nar, compress::Method::Zstd);
    EXPECT_EQ(text(staged->url), body);
    EXPECT_EQ(staged->fileSize, body.size());
    EXPECT_EQ(staged->fileHash, nix::hashOf(body));
    EXPECT_FALSE(cache->find(kA.info.path).value()) << "out of sight until it is published";
}

TEST_F(BinaryCacheIntake, CompressesAgainWhatCameInAnotherWay)
{
    for (const auto body : {compress::Method::None, compress::Method::Xz, compress::Method::Brotli}) {
        objects = std::make_shared<test::MemoryObjects>();
        const auto cache = open();
        const auto staged = send(*cache, kA, body);
        ASSERT_TRUE(staged) << staged.error().message;
        EXPECT_EQ(staged->compression, "zstd");
        EXPECT_EQ(readAll(*cache, *staged), kA.nar);
    }
}

TEST_F(BinaryCacheIntake, RefusesAnotherNarThanAnnounced)
{
    const auto cache = open();
    TestPath lie = kA;
    lie.nar[lie.nar.size() - 60] ^= 1; // within the file's content
    auto done = send(*cache, lie);
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, ErrorCode::Corrupt);
    EXPECT_NE(done.error().message.find(kA.info.path.baseName()), std::string::npos) << done.error().message;
    EXPECT_NE(done.error().message.find(kA.info.narHash.prefixedBase32()), std::string::npos);
    lie = kA;
    lie.info.narSize += 8;
    EXPECT_EQ(send(*cache, lie).error().code, ErrorCode::Corrupt);
    lie.info.narSize = kA.info.narSize - 8;
    EXPECT_EQ(send(*cache, lie).error().code, ErrorCode::Corrupt);
    lie = kA;
    lie.nar += std::string(8, '\0');
    EXPECT_EQ(send(*cache, lie).error().code, ErrorCode::Corrupt) << "something after its end";
    EXPECT_EQ(keys("nar/"), std::vector<std::string>{});
}

TEST_F(BinaryCacheIntake, RefusesWhatIsNoNarThoughItsHashIsRight)
{
    const auto cache = open();
    TestPath noNar = kA;
    noNar.nar = "this is no archive";
    noNar.info.narHash = nix::hashOf(noNar.nar);
    noNar.info.narSize = noNar.nar.size();
    EXPECT_EQ(send(*cache, noNar).error().code, ErrorCode::Corrupt);
    EXPECT_EQ(keys("nar/"), std::vector<std::string>{});
}

TEST_F(BinaryCacheIntake, RefusesADamagedOrShortBody)
{
    const auto cache = open();
    std::string body = compressed(kA.nar, compress::Method::Zstd);
    const auto cut = cache->receive(kA.info, compress::Method::Zstd).value();
    ASSERT_TRUE(cut->push(body.substr(0, body.size() - 5)));
    EXPECT_EQ(cut->finish().error().code, ErrorCode::Corrupt);
    body[body.size() / 2] ^= 0x55;
    const auto damaged = cache->receive(kA.info, compress::Method::Zstd).value();
    auto done = damaged->push(body);
    if (done)
        done = damaged->finish().map([](const auto&) {});
    EXPECT_EQ(done.error().code, ErrorCode::Corrupt);
    EXPECT_FALSE(damaged->finish()) << "and it stays refused";
    EXPECT_EQ(keys("nar/"), std::vector<std::string>{});
}

TEST_F(BinaryCacheIntake, RefusesABombAtTheAnnouncedSize)
{
    const auto cache = open();
    TestPath bomb = kA;
    bomb.nar = std::string(200U << 20U, '\0');
    const std::string body = compressed(bomb.nar, compress::Method::Zstd);
    ASSERT_LT(body.size(), 1U << 20U);
    const auto intake = cache->receive(kA.info, compress::Method::Zstd).value();
    EXPECT_EQ(intake->push(body).error().code, ErrorCode::Corrupt);
}

TEST_F(BinaryCacheIntake, ChecksAClaimedContentAddress)
{
    const auto cache = open();
    const auto dir = nix::StoreDir::standard();
    const std::string nar = nix::test::narOf(file("content")).value();
    const auto path = nix::computeSourcePath(dir, "source", nix::hashOf(nar), {}).value();
    TestPath right{{path,
                    {},
                    {},
                    {},
                    {},
                    nix::hashOf(nar),
                    nar.size(),
                    {},
                    {},
                    {},
                    {},
                    "fixed:r:sha256:" + nix::hashOf(nar).base32()},
                   nar};
    EXPECT_TRUE(send(*cache, right));
    TestPath wrong = kA;
    wrong.info.contentAddress = right.info.contentAddress;
    EXPECT_EQ(send(*cache, wrong).error().code, ErrorCode::Corrupt);
    wrong.info.contentAddress = "nonsense";
    EXPECT_EQ(send(*cache, wrong).error().code, ErrorCode::Invalid);
}

TEST_F(BinaryCacheIntake, KeepsTheFileThatAnotherPathWithTheSameContentWasSignedWith)
{
    const auto cache = open();
    const TestPath twin = makePath("twin", folder({{"file", file("the content of a\n")}}));
    ASSERT_EQ(twin.info.narHash, kA.info.narHash);
    ASSERT_TRUE(sendAndPublish(*cache, {kA}));
    const auto intake = cache->receive(twin.info, compress::Method::Zstd).value();
    const std::string other = compressed(kA.nar, compress::Method::Zstd, 19);
    ASSERT_NE(other, compressed(kA.nar, compress::Method::Zstd));
    ASSERT_TRUE(intake->push(other));
    const auto staged = intake->finish();
    ASSERT_TRUE(staged) << staged.error().message;
    ASSERT_TRUE(cache->publish({*staged}));
    EXPECT_EQ(faults(), std::vector<std::string>{});
}

TEST_F(BinaryCacheIntake, ReplacesADamagedFileThatNobodyWasToldOf)
{
    const auto cache = open();
    test::MemoryObjectStore store(objects);
    ASSERT_TRUE(store.putText(cache->narKey(kA.info), "", {})); // as a power cut leaves it
    ASSERT_TRUE(sendAndPublish(*cache, {kA}));
    EXPECT_EQ(faults(), std::vector<std::string>{});
}

TEST_F(BinaryCacheIntake, ReportsAnUnstatedReferenceToAPathOfThisCacheOnly)
{
    const auto cache = open();
    ASSERT_TRUE(sendAndPublish(*cache, {kA}));
    TestPath silent = makePath("silent", {kA, makePath("unknown")});
    silent.info.references.clear();
    ASSERT_TRUE(send(*cache, silent)) << "a builder may discard references";
    EXPECT_EQ(std::count(logger.events.begin(), logger.events.end(), "cache.unstated_reference"), 1);
}

TEST_F(BinaryCachePublish, ShowsSignedPathsWithTheirReferences)
{
    options.keys = {testKey("one-1"), testKey("two-1")};
    const auto cache = open();
    ASSERT_TRUE(sendAndPublish(*cache, {kC, kA, kB}));
    EXPECT_EQ(faults(), std::vector<std::string>{});
    const auto info = cache->find(kC.info.path).value();
    ASSERT_TRUE(info);
    EXPECT_EQ(info->references, kC.info.references);
    ASSERT_EQ(info->signatures.size(), 2U);
    const std::string message = nix::fingerprint(nix::StoreDir::standard(), *info);
    for (const nix::SecretKey& key : options.keys)
        EXPECT_TRUE(nix::isSignedBy({key.publicKey()}, info->signatures, message));
    EXPECT_EQ(
        nix::parseNarInfo(nix::StoreDir::standard(), text(std::string(kC.info.path.digest()) + ".narinfo"))
            .value(),
        *info);
    EXPECT_EQ(readAll(*cache, *info), kC.nar);
}

TEST_F(BinaryCachePublish, WritesReferencesBeforeReferrers)
{
    const auto cache = open();
    std::vector<std::string> order;
    objects->onOperation = [&](std::string_view operation, std::string_view key) -> Result<void> {
        if (operation == "put" && (key.ends_with(".narinfo") || key.starts_with("nar/")))
            order.emplace_back(key);
        return {};
    };
    ASSERT_TRUE(sendAndPublish(*cache, {kC, kB, kA}));
    ASSERT_EQ(order.size(), 6U);
    EXPECT_TRUE(order[0].starts_with("nar/") && order[1].starts_with("nar/") && order[2].starts_with("nar/"));
    EXPECT_EQ(order[3], std::string(kA.info.path.digest()) + ".narinfo");
    EXPECT_EQ(order[4], std::string(kB.info.path.digest()) + ".narinfo");
    EXPECT_EQ(order[5], std::string(kC.info.path.digest()) + ".narinfo");
}

TEST_F(BinaryCachePublish, RefusesAMissingReferenceByNameAndShowsNothing)
{
    const auto cache = open();
    const auto done = sendAndPublish(*cache, {kB});
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, ErrorCode::Invalid);
    EXPECT_NE(done.error().message.find(kA.info.path.baseName()), std::string::npos);
    EXPECT_FALSE(cache->find(kB.info.path).value());
    EXPECT_TRUE(sendAndPublish(*cache, {kA}));
    EXPECT_TRUE(sendAndPublish(*cache, {kB})) << "once the reference is there";
    EXPECT_EQ(faults(), std::vector<std::string>{});
}

TEST_F(BinaryCachePublish, TakesAnUnansweredQuestionForNeitherYesNorNo)
{
    const auto cache = open();
    const auto staged = send(*cache, kB).value();
    objects->onOperation = [](std::string_view operation, std::string_view key) -> Result<void> {
        if (operation == "get" && key.ends_with(".narinfo"))
            return fail(ErrorCode::Unavailable, "no answer");
        return {};
    };
    EXPECT_EQ(cache->find(kA.info.path).error().code, ErrorCode::Unavailable);
    EXPECT_EQ(cache->findMany({kA.info.path}).error().code, ErrorCode::Unavailable);
    EXPECT_EQ(cache->publish({staged}).error().code, ErrorCode::Unavailable);
    objects->onOperation = nullptr;
    EXPECT_FALSE(cache->find(kA.info.path).value()) << "nothing of it was remembered";
}

TEST_F(BinaryCachePublish, TakesSelfReferencesAndRefusesCircles)
{
    const auto cache = open();
    TestPath self = makePath("self");
    self.info.references.insert(self.info.path);
    EXPECT_TRUE(sendAndPublish(*cache, {self}));
    TestPath x = makePath("x");
    TestPath y = makePath("y", {x});
    x.info.references.insert(y.info.path);
    EXPECT_EQ(sendAndPublish(*cache, {x, y}).error().code, ErrorCode::Invalid);
    EXPECT_EQ(faults(), std::vector<std::string>{});
}

TEST_F(BinaryCachePublish, KeepsSignaturesFromUpstreamAndReplacesThoseThatUseItsName)
{
    options.keys = {testKey("ours-1")};
    const auto cache = open();
    TestPath path = kA;
    path.info.signatures = {"upstream-1:" + std::string(86, 'A') + "==",
                            "ours-1:" + std::string(86, 'A') + "=="};
    ASSERT_TRUE(sendAndPublish(*cache, {path}));
    const auto info = cache->find(path.info.path).value();
    ASSERT_EQ(info->signatures.size(), 2U);
    EXPECT_EQ(info->signatures[1], path.info.signatures[0]);
    EXPECT_EQ(faults(), std::vector<std::string>{});
}

TEST_F(BinaryCachePublish, MayBeRepeatedAndKeepsTheFirst)
{
    const auto cache = open();
    ASSERT_TRUE(sendAndPublish(*cache, {kA, kB}));
    const auto before = cache->find(kA.info.path).value();
    EXPECT_TRUE(sendAndPublish(*cache, {kA, kB}));
    TestPath other = makePath("a", folder({{"file", file("another build's bytes")}}));
    EXPECT_TRUE(sendAndPublish(*cache, {other}));
    EXPECT_EQ(cache->find(kA.info.path).value(), before);
    EXPECT_EQ(faults(), std::vector<std::string>{});
}

TEST_F(BinaryCachePublish, SignsNothingOnSomebodysWord)
{
    const auto cache = open();
    nix::NarInfo lie = send(*cache, kA).value();
    lie.narHash = kB.info.narHash; // the file is that of a
    EXPECT_EQ(cache->publish({lie}).error().code, ErrorCode::Corrupt);
    lie = send(*cache, kA).value();
    lie.url = "nar/none.nar.zst";
    EXPECT_EQ(cache->publish({lie}).error().code, ErrorCode::Invalid);
    EXPECT_EQ(keys().size(), 2U) << "nix-cache-info and the NAR";
}

TEST_F(BinaryCachePublish, PublishesWhatAFormerRunStagedAfterReadingItAgain)
{
    nix::NarInfo staged = send(*open(), kA).value();
    EXPECT_TRUE(open()->publish({staged}));
    EXPECT_EQ(faults(), std::vector<std::string>{});
}

TEST_F(BinaryCachePublish, OneOfManyWhoPublishTheSamePathWritesIt)
{
    const auto cache = open();
    const auto staged = send(*cache, kA).value();
    const std::uint64_t before = objects->operations();
    std::vector<std::thread> threads;
    for (int i = 0; i < 6; ++i)
        threads.emplace_back([&] { EXPECT_TRUE(cache->publish({staged})); });
    for (std::thread& thread : threads)
        thread.join();
    // A sync and a narinfo by the first; a sync of nothing by each of the others.
    EXPECT_LE(objects->operations() - before, 2U + 5U);
    EXPECT_EQ(faults(), std::vector<std::string>{});
}

TEST_F(BinaryCachePublish, AdoptsWhatWasUploadedPastIt)
{
    const auto cache = open();
    test::MemoryObjectStore store(objects);
    ASSERT_TRUE(store.putText(cache->narKey(kA.info), compressed(kA.nar, compress::Method::Zstd), {}));
    const auto staged = cache->adopt(kA.info, compress::Method::Zstd);
    ASSERT_TRUE(staged) << staged.error().message;
    ASSERT_TRUE(cache->publish({*staged}));
    EXPECT_EQ(faults(), std::vector<std::string>{});
    ASSERT_TRUE(store.putText(cache->narKey(kB.info), compressed(kA.nar, compress::Method::Zstd), {}));
    EXPECT_EQ(cache->adopt(kB.info, compress::Method::Zstd).error().code, ErrorCode::Corrupt);
    EXPECT_FALSE(store.head(cache->narKey(kB.info)).value()) << "a lie is removed";
    EXPECT_EQ(cache->adopt(kC.info, compress::Method::Zstd).error().code, ErrorCode::NotFound);
}

TEST_F(BinaryCachePublish, IsNeverInconsistentWhereverItDies)
{
    options.keys = {testKey()};
    options.writeListings = true;
    options.writeDebugInfo = true;
    TestPath debug = makePath(
        "debug",
        folder(
            {{"lib", folder({{"debug",
                              folder({{".build-id",
                                       folder({{"ab", folder({{"cdef0123456789abcdef0123456789abcdef01.debug",
                                                               file("dbg")}})}})}})}})}}));
    debug.info.references = {kC.info.path};
    const std::vector<TestPath> paths{kB, kC, debug, kA};
    for (const auto fault :
         {test::Fault::Fails, test::Fault::Dies, test::Fault::DiesAfter, test::Fault::PowerCut})
        for (std::uint64_t at = 1;; ++at) {
            objects = std::make_shared<test::MemoryObjects>();
            objects->injectAt(at, fault);
            bool isThrough = false;
            if (auto cache = tryOpen())
                isThrough = sendAndPublish(**cache, paths).has_value();
            const bool wasHit = objects->operations() >= at;
            EXPECT_EQ(isThrough, !wasHit);
            objects->heal();
            ASSERT_EQ(faults(), std::vector<std::string>{}) << "died at " << at;
            const auto done = sendAndPublish(*open(), paths);
            ASSERT_TRUE(done) << "again after dying at " << at << ": " << done.error().message;
            ASSERT_EQ(faults(), std::vector<std::string>{});
            EXPECT_EQ(keys("debuginfo/").size(), 1U);
            if (!wasHit) {
                EXPECT_GT(at, 12U) << "there were that many steps at least";
                break;
            }
        }
}

} // namespace
} // namespace penstock::cache
