// SPDX-License-Identifier: GPL-3.0-or-later
// Nix reads the caches that we write: every compression, narinfos, signatures, content addresses,
// nix-cache-info.
#include "shared/nix/cache_info.h"
#include "shared/nix/content_address.h"
#include "shared/nix/narinfo.h"
#include "shared/nix/signing.h"
#include "shared/nixdaemon/daemon_connection.h"
#include "tests/support/golden.h"
#include "tests/support/nar_tree.h"
#include "tests/support/nix_fixture.h"
#include "tests/unit/compress/streams.h"

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

namespace penstock::nix {
namespace {

namespace fs = std::filesystem;
using penstock::test::NixFixture;

constexpr std::size_t kContentBytes = 2'500'000; // several blocks of every method

class NixCacheFormats : public ::testing::Test {
protected:
    void SetUp() override
    {
        auto started = NixFixture::start(
            {false, "trusted-public-keys = " + penstock::test::readGolden("nix/keys/test-key.pub")});
        ASSERT_TRUE(started) << started.error().message;
        m_nix = *std::move(started);
        m_cache = m_nix->root() + "/our-cache";
        fs::create_directories(m_cache / "nar");
        std::ofstream(m_cache / "nix-cache-info") << printCacheInfo({m_nix->storeDir(), true, 30});
    }

    // Any path of that name; it is not content-addressed unless it is given an address.
    [[nodiscard]] StorePath somePath(const std::string& name) const
    {
        return computeOutputPath(m_nix->storeDir(), name, "out", hashOf(name)).value();
    }

    NarInfo put(const StorePath& path, const std::string& nar, const compress::EncoderOptions& options)
    {
        const std::string packed = compress::test::compressed(options, nar).value();
        NarInfo info{path,
                     "",
                     std::string(toString(options.method)),
                     hashOf(packed),
                     packed.size(),
                     hashOf(nar),
                     nar.size(),
                     {},
                     std::nullopt,
                     "",
                     {},
                     ""};
        info.url = "nar/" + info.narHash.base32() + ".nar" + std::string(compress::extension(options.method));
        std::ofstream(m_cache / info.url, std::ios::binary) << packed;
        return info;
    }
    void announce(const NarInfo& info) const
    {
        std::ofstream(m_cache / (std::string(info.path.digest()) + ".narinfo"))
            << printNarInfo(m_nix->storeDir(), info);
    }
    void announceSigned(NarInfo info) const
    {
        const SecretKey key = SecretKey::parse(penstock::test::readGolden("nix/keys/test-key.sec")).value();
        info.signatures.push_back(key.sign(fingerprint(m_nix->storeDir(), info)));
        announce(info);
    }
    // What `nix copy` out of the cache says; empty when the path is in the store then.
    [[nodiscard]] std::string fetch(const StorePath& path) const
    {
        const auto out = m_nix->run({"nix", "copy", "--from", "file://" + m_cache.string() + "?trusted=0",
                                     path.print(m_nix->storeDir())});
        return out ? "" : out.error().message;
    }
    // The archive that the store makes of the path again.
    [[nodiscard]] std::string dump(const StorePath& path) const
    {
        return m_nix->run({"nix-store", "--dump", path.print(m_nix->storeDir())}).value_or("");
    }

    std::unique_ptr<NixFixture> m_nix;
    fs::path m_cache;
};

TEST_F(NixCacheFormats, AreReadByNixInEveryCompression)
{
    for (const compress::Method method : compress::test::kWritten)
        for (const unsigned threads : {0U, 2U}) {
            const std::string name = std::string(toString(method)) + std::to_string(threads);
            const std::string content = compress::test::someText(kContentBytes);
            const std::string nar =
                test::narOf(test::folder({{"bin", test::folder({{"run", test::file(name, true)}})},
                                          {"content", test::file(content)},
                                          {"link", test::link("content")}}))
                    .value();
            const StorePath path = somePath(name);
            announceSigned(put(path, nar, {method, 2, threads}));
            EXPECT_EQ(fetch(path), "") << name;
            EXPECT_TRUE(dump(path) == nar) << name;
        }
}

TEST_F(NixCacheFormats, AreTrustedBySignatureOrContentOnly)
{
    const std::string nar = test::narOf(test::file("signed\n")).value();
    const StorePath notSigned = somePath("not-signed");
    announce(put(notSigned, nar, {}));
    EXPECT_NE(fetch(notSigned).find("lacks a valid signature"), std::string::npos) << fetch(notSigned);

    const StorePath changed = somePath("changed");
    NarInfo info = put(changed, nar, {});
    announceSigned(info);
    const std::string other = test::narOf(test::file("forged\n")).value();
    std::ofstream(m_cache / info.url, std::ios::binary) << compress::test::compressed({}, other).value();
    EXPECT_NE(fetch(changed).find("hash mismatch"), std::string::npos) << fetch(changed);

    const std::vector<ContentAddress> addresses{
        {AddressMethod::Recursive, hashOf(nar)},
        {AddressMethod::Recursive, hashOf(nar, HashAlgorithm::Sha1)},
        {AddressMethod::Flat, hashOf("signed\n", HashAlgorithm::Sha512)},
        {AddressMethod::Text, hashOf("signed\n")}};
    for (const ContentAddress& address : addresses) {
        const StorePath path = computeContentPath(m_nix->storeDir(), "addressed", address, {}).value();
        NarInfo addressed = put(path, nar, {compress::Method::Xz});
        addressed.contentAddress = address.print();
        announce(addressed);
        EXPECT_EQ(fetch(path), "") << address.print();
    }
}

TEST_F(NixCacheFormats, CarryReferencesAndDerivers)
{
    const StorePath first = somePath("first");
    const StorePath second = somePath("second");
    announceSigned(put(first, test::narOf(test::file("first\n")).value(), {}));
    NarInfo info = put(second, test::narOf(test::file(first.print(m_nix->storeDir()))).value(), {});
    info.references = {first, second};
    info.deriver = somePath("second.drv");
    announceSigned(info);
    ASSERT_EQ(fetch(second), "");
    nixdaemon::DaemonOptions options;
    options.storeDir = m_nix->storeDir();
    const auto daemon = nixdaemon::DaemonConnection::open(m_nix->socketPath(), options).value();
    EXPECT_TRUE(daemon->isValidPath(first).value()) << "references come along";
    const auto known = daemon->queryPathInfo(second).value();
    ASSERT_TRUE(known);
    EXPECT_EQ(known->references, info.references);
    EXPECT_EQ(known->deriver, info.deriver);
    EXPECT_EQ(known->narSize, info.narSize);
}

} // namespace
} // namespace penstock::nix
