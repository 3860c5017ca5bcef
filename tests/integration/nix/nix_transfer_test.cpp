// SPDX-License-Identifier: GPL-3.0-or-later
// Bytes into and out of real nix-daemons: every protocol layout, several stores that share nothing, faults,
// memory.
#include "tests/integration/nix/transfer_world.h"

#include <filesystem>
#include <fstream>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
// The sanitizer holds freed memory back, by default 256 MiB of it, which would be taken for the stream's.
extern "C" const char* __asan_default_options();
extern "C" const char* __asan_default_options()
{
    return "quarantine_size_mb=8:thread_local_quarantine_size_kb=64";
}
#endif

namespace penstock::nixdaemon {
namespace {

using test::addressedSample;
using test::NarSample;
using test::NixFixture;
using test::sampleOf;
using test::sinkInto;
using test::sourceOf;

class AnnouncedMinor : public ::testing::TestWithParam<unsigned> {};

TEST_P(AnnouncedMinor, CopiesAClosureBetweenStoresThatShareNothing)
{
    const auto from = startNix();
    const auto to = startNix();
    const auto source = connect(*from, GetParam());
    const auto target = connect(*to, GetParam());
    const NarSample leaf = addressedSample(from->storeDir(), "leaf", std::string(200'000, 'l'));
    NarSample middle = sampleOf("middle", "in the middle", {leaf.info.path});
    middle.info.signatures = {"some-key:" + std::string(86, 'A') + "=="};
    NarSample top = sampleOf("top", "", {middle.info.path, leaf.info.path});
    top.info.references.insert(top.info.path);
    for (const NarSample& sample : {leaf, middle}) {
        const auto added = source->addToStoreNar(toAdd(sample), kTrusting);
        ASSERT_TRUE(added) << added.error().message;
    }
    const auto several = source->addMultipleToStore({toAdd(middle), toAdd(top)}, kTrusting);
    ASSERT_TRUE(several) << several.error().message;
    for (const NarSample& sample : {leaf, middle, top}) {
        const auto info = source->queryPathInfo(sample.info.path);
        ASSERT_TRUE(info && *info);
        EXPECT_EQ((*info)->references, sample.info.references);
        EXPECT_EQ((*info)->signatures, sample.info.signatures);
        EXPECT_EQ((*info)->contentAddress, sample.info.contentAddress);
        std::string nar;
        ASSERT_TRUE(source->narFromPath(sample.info.path, sinkInto(nar)));
        EXPECT_EQ(nar, sample.nar);
        const auto added = target->addToStoreNar({sample.info.path, **info, sourceOf(nar)}, kTrusting);
        ASSERT_TRUE(added) << added.error().message;
        EXPECT_TRUE(std::filesystem::exists(to->realPath(sample.info.path)));
    }
    EXPECT_EQ(target->queryAllValidPaths(),
              (nix::StorePathSet{leaf.info.path, middle.info.path, top.info.path}));
    EXPECT_EQ(target->queryReferrers(leaf.info.path), (nix::StorePathSet{middle.info.path, top.info.path}));
    EXPECT_EQ(target->queryPathFromHashPart(top.info.path.digest()).value(), top.info.path);
    EXPECT_EQ(target->queryPathFromHashPart(std::string(32, '1')).value(), std::nullopt);
    expectSound(*to);
}

TEST_P(AnnouncedMinor, AddsContentWhosePathTheStoreComputes)
{
    const auto nix = startNix();
    const auto daemon = connect(*nix, GetParam());
    const nix::StoreDir& dir = nix->storeDir();
    const auto add = [&](const ContentToAdd& content, const std::string& bytes) {
        auto added = daemon->addToStore(content, sourceOf(bytes));
        EXPECT_TRUE(added) << added.error().message;
        EXPECT_TRUE(daemon->ping());
        return added.value();
    };
    const std::string text = std::string(100'000, 't') + "end";
    const nix::StorePath file =
        add({"file", nix::AddressMethod::Flat, nix::HashAlgorithm::Sha1, {}, text.size()}, text);
    EXPECT_EQ(file, nix::computeFixedPath(dir, "file", nix::FileMethod::Flat,
                                          nix::hashOf(text, nix::HashAlgorithm::Sha1)));
    const std::string nar = test::narOfFile(text);
    const nix::StorePath tree =
        add({"tree", nix::AddressMethod::Recursive, nix::HashAlgorithm::Sha256, {}, nar.size()}, nar);
    EXPECT_EQ(tree, nix::computeSourcePath(dir, "tree", nix::hashOf(nar), {}));
    const nix::StorePathSet references{file, tree};
    const nix::StorePath note =
        add({"note", nix::AddressMethod::Text, nix::HashAlgorithm::Sha256, references, text.size()}, text);
    EXPECT_EQ(note, nix::computeTextPath(dir, "note", nix::hashOf(text), references));
    EXPECT_EQ(daemon->queryPathInfo(note).value()->references, references);
    std::string read;
    ASSERT_TRUE(daemon->narFromPath(file, sinkInto(read)));
    EXPECT_EQ(read, nar);
    expectSound(*nix);
}

TEST_P(AnnouncedMinor, RefusesDamagedArchivesAndLeavesNothing)
{
    const auto nix = startNix();
    const NarSample good = sampleOf("damaged", std::string(300'000, 'g'));
    std::string flipped = good.nar;
    flipped[1000] = 'x';
    constexpr unsigned kFirstFramed = 23;
    const std::vector<std::string> damaged{flipped, good.nar.substr(0, 200'000), good.nar + "12345678"};
    for (const std::string& bytes : damaged) {
        const auto daemon = connect(*nix, GetParam());
        const auto added = daemon->addToStoreNar(toAdd(good.info, sourceOf(bytes)), kTrusting);
        ASSERT_FALSE(added);
        EXPECT_EQ(added.error().code, ErrorCode::Corrupt) << added.error().message;
        EXPECT_FALSE(daemon->isValidPath(good.info.path).value_or(false));
        const auto text = daemon->addToStore(
            {"text", nix::AddressMethod::Text, nix::HashAlgorithm::Sha256, {}, 1}, sourceOf("a"));
        // With frames it is the daemon that finds another hash, having taken all.
        if (GetParam() >= kFirstFramed && &bytes == &damaged.front()) {
            EXPECT_TRUE(text) << text.error().message;
            continue;
        }
        EXPECT_FALSE(daemon->isUsable()) << "what was half-sent must not go on";
        ASSERT_FALSE(text);
        EXPECT_EQ(text.error().code, ErrorCode::Unavailable);
    }
    const auto daemon = connect(*nix, GetParam());
    for (const std::size_t announced : {std::size_t{99'999}, std::size_t{100'001}}) {
        const auto other = connect(*nix, GetParam());
        const auto added =
            other->addToStore({"cut", nix::AddressMethod::Flat, nix::HashAlgorithm::Sha256, {}, announced},
                              sourceOf(std::string(100'000, 'c')));
        ASSERT_FALSE(added) << "a file that is cut off is not taken for whole";
        EXPECT_EQ(added.error().code, ErrorCode::Corrupt);
    }
    EXPECT_FALSE(daemon->isValidPath(good.info.path).value());
    expectSound(*nix);
    EXPECT_TRUE(daemon->addToStoreNar(toAdd(good), kTrusting));
    EXPECT_TRUE(daemon->addToStoreNar(toAdd(good), kTrusting)) << "valid already";
    EXPECT_TRUE(daemon->ping());
}

TEST_P(AnnouncedMinor, KeepsTheConnectionAfterAComplaint)
{
    const auto nix = startNix();
    const auto daemon = connect(*nix, GetParam());
    const NarSample sample =
        sampleOf("dangling", std::string(500'000, 'd'), {sampleOf("absent", "").info.path});
    const auto added = daemon->addToStoreNar(toAdd(sample), kTrusting);
    ASSERT_FALSE(added);
    EXPECT_EQ(added.error().code, ErrorCode::Invalid);
    EXPECT_NE(added.error().message.find("absent"), std::string::npos) << added.error().message;
    EXPECT_TRUE(daemon->ping());
    EXPECT_FALSE(daemon->isValidPath(sample.info.path).value());
}

TEST_P(AnnouncedMinor, RecognisesAnErrorInTheMiddleOfAnArchive)
{
    const auto nix = startNix();
    const auto daemon = connect(*nix, GetParam());
    const auto gone = daemon->narFromPath(sampleOf("gone", "").info.path,
                                          [](std::string_view) -> Result<void> { return {}; });
    ASSERT_FALSE(gone);
    EXPECT_EQ(gone.error().code, ErrorCode::Invalid) << gone.error().message;
    EXPECT_NE(gone.error().message.find("No such file"), std::string::npos) << gone.error().message;
    EXPECT_FALSE(daemon->isUsable());
}

TEST_P(AnnouncedMinor, HoldsRootsAndStoresSignatures)
{
    const auto nix = startNix();
    const NarSample sample = sampleOf("rooted", "r");
    const std::string link = nix->root() + "/link";
    {
        const auto daemon = connect(*nix, GetParam());
        ASSERT_TRUE(daemon->addToStoreNar(toAdd(sample), kTrusting));
        ASSERT_TRUE(daemon->addPermRoot(sample.info.path, link));
        EXPECT_FALSE(daemon->addPermRoot(sample.info.path, "/nix/store/link"));
        const std::string signature = "key-1:" + std::string(86, 'B') + "==";
        ASSERT_TRUE(daemon->addSignatures(sample.info.path, {signature}));
        EXPECT_EQ(daemon->queryPathInfo(sample.info.path).value()->signatures,
                  (std::vector<std::string>{signature}));
        EXPECT_TRUE(daemon->querySubstitutablePathInfos({sample.info.path}).value().empty());
        EXPECT_TRUE(daemon->queryValidDerivers(sample.info.path).value().empty());
        EXPECT_FALSE(daemon->queryRealisation("sha256:" + std::string(64, '0') + "!out"))
            << "never asked of a daemon that may die of it";
        EXPECT_TRUE(daemon->ping());
    }
    ASSERT_TRUE(nix->run({"nix-store", "--gc"}));
    EXPECT_TRUE(connect(*nix)->isValidPath(sample.info.path).value());
    std::filesystem::remove(link);
    ASSERT_TRUE(nix->run({"nix-store", "--gc"}));
    EXPECT_FALSE(connect(*nix)->isValidPath(sample.info.path).value());
}

INSTANTIATE_TEST_SUITE_P(Layouts, AnnouncedMinor, ::testing::Values(21U, 22U, 23U, 25U, 31U, 32U, 34U, 38U));

TEST(NixTransfer, AddsAndAsksForThousandsOfPathsInOneGo)
{
    const auto nix = startNix();
    const auto daemon = connect(*nix);
    std::vector<NarToAdd> nars;
    nix::StorePathSet paths;
    for (int i = 0; i < 1500; ++i) {
        const NarSample sample = sampleOf(fmt::format("small-{}", i), fmt::format("content {}", i));
        paths.insert(sample.info.path);
        nars.push_back(toAdd(sample));
    }
    const auto added = daemon->addMultipleToStore(nars, kTrusting);
    ASSERT_TRUE(added) << added.error().message;
    paths.insert(sampleOf("not-there", "").info.path);
    const auto infos = daemon->queryPathInfos(paths);
    ASSERT_TRUE(infos) << infos.error().message;
    EXPECT_EQ(infos->size(), 1500U);
    EXPECT_EQ(infos->at(nars[7].path).narHash, nars[7].info.narHash);
    EXPECT_TRUE(daemon->ping());
}

TEST(NixTransfer, StopsAtTheFirstBadPathOfMany)
{
    const auto nix = startNix();
    const NarSample good = sampleOf("good", "1");
    const NarSample bad = sampleOf("bad", "2");
    const auto added =
        connect(*nix)->addMultipleToStore({toAdd(good), toAdd(bad.info, sourceOf(good.nar))}, kTrusting);
    ASSERT_FALSE(added);
    EXPECT_EQ(added.error().code, ErrorCode::Corrupt);
    EXPECT_NE(added.error().message.find("-bad"), std::string::npos) << added.error().message;
    EXPECT_FALSE(connect(*nix)->isValidPath(bad.info.path).value());
}

TEST(NixTransfer, PassesOverAnUntrustingDaemonWithContentAddressesOnly)
{
    const auto nix = startNix(false);
    const auto daemon = connect(*nix);
    EXPECT_EQ(daemon->findTrust().value(), Trust::NotTrusted);
    const NarSample unsignedPath = sampleOf("unsigned", "u");
    const auto refused = daemon->addToStoreNar(toAdd(unsignedPath), kTrusting);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::Invalid);
    EXPECT_NE(refused.error().message.find("signature"), std::string::npos) << refused.error().message;
    const NarSample addressed = addressedSample(nix->storeDir(), "addressed", "a");
    const auto taken = daemon->addToStoreNar(toAdd(addressed), kTrusting);
    EXPECT_TRUE(taken) << taken.error().message;
    EXPECT_FALSE(daemon->addSignatures(addressed.info.path, {"key:" + std::string(86, 'A') + "=="}));
    const auto rooted = daemon->addPermRoot(addressed.info.path, nix->root() + "/link");
    EXPECT_TRUE(rooted) << rooted.error().message;
    EXPECT_TRUE(daemon->ping());
}

TEST(NixTransfer, KeepsRealisationsWhereTheDaemonHasThem)
{
    test::NixFixtureOptions fixture;
    fixture.isChroot = true;
    fixture.extraConfig = "experimental-features = nix-command ca-derivations";
    const auto nix = NixFixture::start(fixture);
    ASSERT_TRUE(nix) << nix.error().message;
    const NarSample output = addressedSample((*nix)->storeDir(), "output", "o");
    for (const unsigned minor : {27U, 30U, 31U, 34U, 38U}) {
        DaemonOptions options;
        options.announcedMinor = minor;
        options.hasCaDerivations = true;
        const auto opened = DaemonConnection::open((*nix)->socketPath(), options);
        ASSERT_TRUE(opened) << opened.error().message;
        DaemonConnection& daemon = **opened;
        ASSERT_TRUE(daemon.addToStoreNar(toAdd(output), kTrusting));
        const Realisation made{
            "sha256:" + nix::hashOf(fmt::format("{}", minor)).base16() + "!out", output.info.path, {}, {}};
        EXPECT_FALSE(daemon.queryRealisation(made.id).value().has_value()) << minor;
        const auto registered = daemon.registerRealisation(made);
        ASSERT_TRUE(registered) << minor << ": " << registered.error().message;
        const auto found = daemon.queryRealisation(made.id);
        ASSERT_TRUE(found) << minor << ": " << found.error().message;
        EXPECT_EQ(*found, made) << minor;
        EXPECT_TRUE(daemon.ping());
    }
}

TEST(NixTransfer, KeepsBuildLogs)
{
    const auto nix = startNix();
    const auto daemon = connect(*nix);
    const auto drv = nix::StorePath::fromBaseName("00000000000000000000000000000000-logged.drv").value();
    const auto added = daemon->addBuildLog(drv, sourceOf("line one\nline two\n"));
    ASSERT_TRUE(added) << added.error().message;
    EXPECT_TRUE(daemon->ping());
    EXPECT_FALSE(daemon->addBuildLog(sampleOf("no-drv", "").info.path, sourceOf("")));
    std::size_t logs = 0;
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(nix->localStore() + "/nix/var/log/nix"))
        logs += entry.path().filename().string().find("logged.drv") != std::string::npos ? 1U : 0U;
    EXPECT_EQ(logs, 1U);
}

TEST(NixTransfer, IsUnavailableWhenTheDaemonDiesInTheMiddleOfAnArchive)
{
    const auto nix = startNix();
    constexpr std::uint64_t kSize = 32U << 20U;
    const nix::NarInfo big = test::bigInfo("big", kSize);
    const ByteSource whole = test::bigNar(kSize);
    std::uint64_t sent = 0;
    const auto added =
        connect(*nix)->addToStoreNar(toAdd(big,
                                           [&](std::span<char> into) -> Result<std::size_t> {
                                               if (sent > kSize / 2)
                                                   nix->kill();
                                               PENSTOCK_TRY(const std::size_t size, whole(into));
                                               sent += size;
                                               return size;
                                           }),
                                     kTrusting);
    ASSERT_FALSE(added);
    EXPECT_EQ(added.error().code, ErrorCode::Unavailable) << added.error().message;
    ASSERT_TRUE(nix->restart());
    const auto daemon = connect(*nix);
    EXPECT_FALSE(daemon->isValidPath(big.path).value());
    ASSERT_TRUE(daemon->addToStoreNar(toAdd(big, test::bigNar(kSize)), kTrusting));
    std::uint64_t received = 0;
    const auto read = daemon->narFromPath(big.path, [&](std::string_view bytes) -> Result<void> {
        received += bytes.size();
        if (received > kSize / 2)
            nix->kill();
        return {};
    });
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().code, ErrorCode::Unavailable) << read.error().message;
    EXPECT_FALSE(read.error().message.empty());
}

TEST(NixTransfer, SaysWhyAFileThatShrankCannotBeRead)
{
    const auto nix = startNix();
    constexpr std::uint64_t kSize = 4U << 20U;
    const nix::NarInfo big = test::bigInfo("shrinks", kSize);
    const auto daemon = connect(*nix);
    ASSERT_TRUE(daemon->addToStoreNar(toAdd(big, test::bigNar(kSize)), kTrusting));
    std::uint64_t received = 0;
    const auto read = daemon->narFromPath(big.path, [&](std::string_view bytes) -> Result<void> {
        if (received == 0) // what is in flight then is far below the file's size
            std::filesystem::resize_file(nix->realPath(big.path), kSize / 2);
        received += bytes.size();
        return {};
    });
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().code, ErrorCode::Invalid) << read.error().message;
    EXPECT_NE(read.error().message.find("end-of-file"), std::string::npos) << read.error().message;
}

std::uint64_t residentBytes()
{
    std::ifstream statm("/proc/self/statm");
    std::uint64_t pages = 0;
    statm >> pages >> pages;
    return pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

TEST(NixTransfer, StreamsBigFilesInLittleMemory)
{
    const auto from = startNix();
    const auto to = startNix();
    constexpr std::uint64_t kSize = 256U << 20U;
    const nix::NarInfo big = test::bigInfo("huge", kSize);
    const auto source = connect(*from);
    const auto target = connect(*to);
    const std::uint64_t before = residentBytes();
    std::uint64_t highest = before;
    const ByteSource generated = test::bigNar(kSize);
    ASSERT_TRUE(source->addToStoreNar(toAdd(big,
                                            [&](std::span<char> into) {
                                                highest = std::max(highest, residentBytes());
                                                return generated(into);
                                            }),
                                      kTrusting));
    nix::Hasher hasher;
    const auto read = source->narFromPath(big.path, [&](std::string_view bytes) -> Result<void> {
        highest = std::max(highest, residentBytes());
        hasher.update(bytes);
        return {};
    });
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(std::move(hasher).finish(), big.narHash);
    EXPECT_LT(highest - before, 50U << 20U);
    EXPECT_TRUE(target->ping());
}

} // namespace
} // namespace penstock::nixdaemon
