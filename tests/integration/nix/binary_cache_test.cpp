// SPDX-License-Identifier: GPL-3.0-or-later
// Our binary caches in real Nix's hands, and Nix's in ours.
#include "server/cache/dir_store.h"
#include "tests/support/golden.h"
#include "tests/support/nix_fixture.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/cache/cache_fixture.h"
#include "tests/unit/nix/cache_vectors.h"

#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <sstream>

namespace penstock::cache {
namespace {

namespace fs = std::filesystem;
using nix::test::file;
using nix::test::folder;
using nix::test::link;

std::string contentOf(const fs::path& path)
{
    std::ifstream in(path, std::ios::binary);
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
}

struct RealNix : ::testing::Test {
    test::TempDirectory directory;
    const std::string cachePath = directory.path() + "/cache";
    std::unique_ptr<test::NixFixture> nix = start();
    BinaryCacheOptions options;
    ManualClock clock;
    RecordingLogger logger;

    // The daemon trusts testKey() alone and substitutes from our cache.
    std::unique_ptr<test::NixFixture> start()
    {
        test::NixFixtureOptions fixture;
        fixture.extraConfig =
            fmt::format("trusted-public-keys = {}\nsubstituters = file://{}\nrequire-sigs = true",
                        testKey().publicKey().print(), cachePath);
        auto started = test::NixFixture::start(fixture);
        EXPECT_TRUE(started) << started.error().message;
        return *std::move(started);
    }
    std::unique_ptr<BinaryCache> open()
    {
        options.storeDir = nix->storeDir();
        auto objects = DirStore::open(cachePath);
        EXPECT_TRUE(objects) << objects.error().message;
        auto cache = BinaryCache::open(*std::move(objects), options, clock, logger);
        EXPECT_TRUE(cache) << cache.error().message;
        return *std::move(cache);
    }
    std::vector<std::string> faultsOf(const std::string& path, const std::vector<nix::PublicKey>& trusted,
                                      const nix::StoreDir& dir)
    {
        const auto objects = DirStore::open(path, DirAccess::ReadOnly).value();
        std::vector<std::string> found;
        const auto summary =
            checkCache(*objects, {dir, trusted, true}, [&found](const CacheFinding& finding) {
                found.push_back(
                    fmt::format("{}: {}: {}", toString(finding.fault), finding.key, finding.message));
            });
        EXPECT_TRUE(summary && summary->paths > 0);
        return found;
    }
    std::string full(const TestPath& path) const { return path.info.path.print(nix->storeDir()); }
};

TestPath library()
{
    return makePath("library-1.0",
                    folder({{"lib", folder({{"l.so", file("library\n")}, {"l", link("l.so")}})}}));
}

TestPath program(const TestPath& uses)
{
    return makePath("program-1.0", folder({{"bin", folder({{"run", file("#!/bin/sh\n", true)}})}}),
                    {uses.info.path});
}

TEST_F(RealNix, CopiesFromOurCacheInEveryCompressionWithSignaturesChecked)
{
    for (const auto method : {compress::Method::None, compress::Method::Xz, compress::Method::Bzip2,
                              compress::Method::Zstd, compress::Method::Brotli}) {
        fs::remove_all(cachePath);
        options.encoding = {method};
        options.keys = {testKey()};
        const auto cache = open();
        const std::string word(compress::toString(method));
        const TestPath uses = makePath("uses-" + word, folder({{"file", file(word)}}));
        const TestPath top =
            makePath("top-" + word, folder({{"run", file("#!/bin/sh\n", true)}}), {uses.info.path});
        ASSERT_TRUE(sendAndPublish(*cache, {top, uses}));
        const auto copied = nix->run({"nix", "copy", "--from", "file://" + cachePath, full(top)});
        ASSERT_TRUE(copied) << word << ": " << copied.error().message;
        EXPECT_EQ(contentOf(full(uses) + "/file"), word);
        EXPECT_EQ(contentOf(full(top) + "/run"), "#!/bin/sh\n");
    }
}

TEST_F(RealNix, SubstitutesFromOurCacheByNixStore)
{
    options.keys = {testKey("another-1"), testKey()};
    const auto cache = open();
    const TestPath uses = library();
    const TestPath top = program(uses);
    ASSERT_TRUE(sendAndPublish(*cache, {uses, top}));
    const auto realised = nix->run({"nix-store", "-r", full(top)});
    ASSERT_TRUE(realised) << realised.error().message;
    EXPECT_EQ(contentOf(full(uses) + "/lib/l"), "library\n");
    const auto verified = nix->run({"nix-store", "--verify", "--check-contents"});
    EXPECT_TRUE(verified) << verified.error().message;
}

TEST_F(RealNix, RefusesWhatOurCacheDidNotSign)
{
    const auto cache = open();
    const TestPath uses = library();
    ASSERT_TRUE(sendAndPublish(*cache, {uses}));
    const auto copied = nix->run({"nix", "copy", "--from", "file://" + cachePath, full(uses)});
    ASSERT_FALSE(copied);
    EXPECT_NE(copied.error().message.find("signature"), std::string::npos) << copied.error().message;
}

TEST_F(RealNix, WritesACacheThatWeReadAndExtend)
{
    const std::string tree = directory.path() + "/tree";
    fs::create_directories(tree + "/sub");
    std::ofstream(tree + "/sub/file") << "content";
    fs::create_symlink("sub/file", tree + "/link");
    std::ofstream(directory.path() + "/key") << testKey().print();
    const auto added = nix->run({"nix-store", "--add", tree});
    ASSERT_TRUE(added) << added.error().message;
    const std::string path = added->substr(0, added->find('\n'));
    const auto copied =
        nix->run({"nix", "copy", "--to",
                  fmt::format("file://{}?compression=zstd&write-nar-listing=1&secret-key={}/key", cachePath,
                              directory.path()),
                  path});
    ASSERT_TRUE(copied) << copied.error().message;
    EXPECT_EQ(faultsOf(cachePath, {testKey().publicKey()}, nix->storeDir()), std::vector<std::string>{});
    options.keys = {testKey()};
    options.writeListings = true;
    const auto cache = open();
    const auto storePath = nix::StorePath::parse(nix->storeDir(), path).value();
    const auto info = cache->find(storePath).value();
    ASSERT_TRUE(info);
    const std::string nar = readAll(*cache, *info);
    const std::string theirs =
        cache->readSideFile(std::string(storePath.digest()) + ".ls", 10'000).value().value();

    // The same path once more, through our hands.
    fs::rename(cachePath, cachePath + "-theirs");
    const auto ours = open();
    ASSERT_TRUE(sendAndPublish(*ours, {TestPath{*info, nar}}));
    EXPECT_EQ(ours->readSideFile(std::string(storePath.digest()) + ".ls", 10'000).value().value(), theirs);
    EXPECT_EQ(ours->find(storePath).value()->signatures, info->signatures) << "the same key, the same text";
    EXPECT_EQ(faultsOf(cachePath, {testKey().publicKey()}, nix->storeDir()), std::vector<std::string>{});
}

TEST_F(RealNix, KeptCachesOfEveryCompressionAreWhole)
{
    for (const char* method : {"br", "bzip2", "gzip", "none", "xz", "zstd"})
        EXPECT_EQ(faultsOf(test::goldenPath(std::string("nix/compressed/") + method), {},
                           nix::StoreDir::standard()),
                  std::vector<std::string>{})
            << method;
}

TEST_F(RealNix, TheKeptCacheIsWholeAndSignedAndADamagedByteIsFound)
{
    const std::string copy = directory.path() + "/kept";
    fs::copy(test::goldenPath("nix/cache"), copy, fs::copy_options::recursive);
    for (const std::string& name : nix::test::goldenFiles("nix/cache/nar", ".hex")) {
        const std::string hex = copy + "/nar/" + fs::path(name).filename().string();
        std::ofstream(hex.substr(0, hex.size() - 4), std::ios::binary) << nix::test::fromHex(contentOf(hex));
        fs::remove(hex);
    }
    const auto key = nix::PublicKey::parse(contentOf(test::goldenPath("nix/keys/test-key.pub"))).value();
    const auto standard = nix::StoreDir::standard();
    EXPECT_EQ(faultsOf(copy, {key}, standard), std::vector<std::string>{});
    const auto nar = (*fs::directory_iterator(copy + "/nar")).path();
    std::string bytes = contentOf(nar);
    bytes[bytes.size() - 40] ^= 1;
    std::ofstream(nar, std::ios::binary) << bytes;
    const auto faults = faultsOf(copy, {key}, standard);
    ASSERT_EQ(faults.size(), 2U) << "its file and its NAR";
    EXPECT_TRUE(faults[0].starts_with("wrong file")) << faults[0];
    EXPECT_TRUE(faults[1].starts_with("wrong NAR")) << faults[1];
    fs::remove(nar);
    EXPECT_TRUE(faultsOf(copy, {key}, standard)[0].starts_with("missing NAR"));
    EXPECT_FALSE(faultsOf(copy, {testKey().publicKey()}, standard).empty());
}

} // namespace
} // namespace penstock::cache
