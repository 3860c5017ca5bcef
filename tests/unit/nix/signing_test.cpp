// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nix/narinfo.h"
#include "shared/nix/signing.h"
#include "tests/support/golden.h"
#include "tests/unit/nix/cache_vectors.h"

#include <gtest/gtest.h>

namespace penstock::nix {
namespace {

const StoreDir kDir = StoreDir::standard();

SecretKey secretKey()
{
    return SecretKey::parse(penstock::test::readGolden("nix/keys/test-key.sec")).value();
}
PublicKey publicKey()
{
    return PublicKey::parse(penstock::test::readGolden("nix/keys/test-key.pub")).value();
}

TEST(Signing, VerifiesEverySignatureThatNixMade)
{
    const PublicKey key = publicKey();
    std::size_t count = 0;
    for (const std::string& file : test::goldenFiles("nix/cache", ".narinfo")) {
        const auto info = parseNarInfo(kDir, penstock::test::readGolden(file)).value();
        const std::string message = fingerprint(kDir, info);
        for (const std::string& signature : info.signatures) {
            EXPECT_TRUE(key.verifies(signature, message)) << file;
            EXPECT_FALSE(key.verifies(signature, message + "x")) << file;
            ++count;
        }
        EXPECT_TRUE(isSignedBy({key}, info.signatures, message)) << file;
    }
    EXPECT_GE(count, 10U);
}

TEST(Signing, MakesTheSameSignatureAsNix)
{
    const SecretKey key = secretKey();
    for (const std::string& file : test::goldenFiles("nix/cache", ".narinfo")) {
        const auto info = parseNarInfo(kDir, penstock::test::readGolden(file)).value();
        ASSERT_EQ(info.signatures.size(), 1U);
        EXPECT_EQ(key.sign(fingerprint(kDir, info)), info.signatures.front()) << file;
    }
}

TEST(Signing, ReadsAndWritesKeyFiles)
{
    EXPECT_EQ(secretKey().print(), penstock::test::readGolden("nix/keys/test-key.sec"));
    EXPECT_EQ(publicKey().print(), penstock::test::readGolden("nix/keys/test-key.pub"));
    EXPECT_EQ(secretKey().publicKey().print(), publicKey().print());
    EXPECT_EQ(secretKey().name(), "test-key-1");
    EXPECT_TRUE(PublicKey::parse(publicKey().print() + "\n")) << "a newline at the end is common";
}

TEST(Signing, RefusesKeysThatAreNoKeys)
{
    const std::string good = publicKey().print();
    const std::string secret = secretKey().print();
    for (const std::string& bad :
         {std::string(), std::string("name"), std::string(":") + good.substr(good.find(':') + 1),
          std::string("a b") + good.substr(good.find(':')), good.substr(0, good.size() - 1), good + "=",
          good.substr(0, good.size() - 4), std::string("x:"), good + "\n" + good, secret}) {
        const auto key = PublicKey::parse(bad);
        ASSERT_FALSE(key) << bad;
        EXPECT_EQ(key.error().code, ErrorCode::Invalid);
        EXPECT_EQ(key.error().message.find(secret.substr(20, 10)), std::string::npos) << "quotes a secret";
    }
    EXPECT_FALSE(SecretKey::parse(good));
    std::string mixed = secret;
    mixed[secret.size() - 10] = mixed[secret.size() - 10] == 'A' ? 'B' : 'A';
    const auto halves = SecretKey::parse(mixed);
    ASSERT_FALSE(halves);
    EXPECT_NE(halves.error().message.find("two halves"), std::string::npos);
    EXPECT_FALSE(SecretKey::fromSeed("name", bytesOf("too short")));
    EXPECT_FALSE(SecretKey::fromSeed("na:me", bytesOf(std::string(32, 'x'))));
}

TEST(Signing, CountsOnlySignaturesOfTheNamedKeyAndRightForm)
{
    const SecretKey ours = SecretKey::fromSeed("ours-1", bytesOf(std::string(32, 'a'))).value();
    const SecretKey theirs = SecretKey::fromSeed("theirs-1", bytesOf(std::string(32, 'b'))).value();
    const SecretKey liar = SecretKey::fromSeed("ours-1", bytesOf(std::string(32, 'c'))).value();
    const std::string good = ours.sign("message");
    EXPECT_TRUE(ours.publicKey().verifies(good, "message"));
    EXPECT_FALSE(ours.publicKey().verifies(liar.sign("message"), "message")) << "another key of the name";
    EXPECT_FALSE(ours.publicKey().verifies("ours-2" + good.substr(6), "message")) << "another name";
    EXPECT_FALSE(ours.publicKey().verifies(good + " ", "message"));
    EXPECT_FALSE(ours.publicKey().verifies(good.substr(0, good.size() - 2), "message"));
    EXPECT_FALSE(ours.publicKey().verifies(good.substr(good.find(':') + 1), "message"));
    EXPECT_FALSE(ours.publicKey().verifies("", "message"));
    for (std::size_t at = 0; at < good.size(); ++at)
        for (int c = 0; c < 256; ++c) {
            std::string changed = good;
            changed[at] = static_cast<char>(c);
            EXPECT_EQ(ours.publicKey().verifies(changed, "message"), changed == good) << at << " " << c;
        }

    const std::vector<PublicKey> keys{theirs.publicKey(), ours.publicKey()};
    EXPECT_TRUE(isSignedBy(keys, {"junk", liar.sign("message"), good}, "message"));
    EXPECT_FALSE(isSignedBy(keys, {"junk", liar.sign("message")}, "message"));
    EXPECT_FALSE(isSignedBy({}, {good}, "message"));
    EXPECT_FALSE(isSignedBy(keys, {}, "message"));
}

TEST(Signing, FollowsTheVectorOfTheRfc)
{
    // RFC 8032, 7.1, test 1: the empty message.
    const std::string seed =
        test::fromHex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
    const SecretKey key = SecretKey::fromSeed("rfc", bytesOf(seed)).value();
    EXPECT_EQ(key.publicKey().print(), "rfc:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
    EXPECT_EQ(key.sign(""), "rfc:5VZDAMNgrHKQhuLMgG6CioSHfx645dl02HPgZSJJAVVfuIIVkKM7rMYeOXAc+bRr0lv18FlbviRl"
                            "UUFDjnoQCw==");
    EXPECT_TRUE(key.publicKey().verifies(key.sign(""), ""));
}

TEST(Signing, DerivesKeysThatDifferByPurposeAndKey)
{
    const SecretKey one = SecretKey::fromSeed("one", bytesOf(std::string(32, 'a'))).value();
    const SecretKey two = SecretKey::fromSeed("one", bytesOf(std::string(32, 'b'))).value();
    EXPECT_EQ(one.derive("purpose").size(), 32U);
    EXPECT_EQ(one.derive("purpose"), SecretKey::parse(one.print()).value().derive("purpose"));
    EXPECT_NE(one.derive("purpose"), one.derive("another"));
    EXPECT_NE(one.derive("purpose"), two.derive("purpose"));
}

} // namespace
} // namespace penstock::nix
