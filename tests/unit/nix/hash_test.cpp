// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nix/base32.h"
#include "shared/nix/hash.h"
#include "tests/support/golden.h"

#include <gtest/gtest.h>

namespace penstock::nix {
namespace {

std::string fromHex(std::string_view hex)
{
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string bytes;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
        bytes.push_back(static_cast<char>(kDigits.find(hex[i]) * 16 + kDigits.find(hex[i + 1])));
    return bytes;
}

constexpr std::string_view kAbc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

TEST(Hash, AgreesWithNixInEveryAlgorithmAndForm)
{
    const auto rows = test::readGoldenTable("nix/hashes.tsv");
    ASSERT_EQ(rows.size(), 12U);
    for (const auto& row : rows) {
        ASSERT_EQ(row.size(), 6U);
        const auto algorithm = parseHashAlgorithm(row[1]);
        ASSERT_TRUE(algorithm);
        const Hash hash = hashOf(fromHex(row[0]), *algorithm);
        EXPECT_EQ(hash.base16(), row[2]);
        EXPECT_EQ(hash.base32(), row[3]);
        EXPECT_EQ(hash.base64(), row[4]);
        EXPECT_EQ(hash.sri(), row[5]);
        for (std::size_t form = 2; form < 5; ++form) {
            EXPECT_EQ(Hash::parse(row[form], *algorithm), hash) << row[form];
            EXPECT_EQ(Hash::parse(row[1] + ":" + row[form]), hash) << row[form];
        }
        EXPECT_EQ(Hash::parse(row[5]), hash);
    }
}

TEST(Hash, HashesInPiecesAsInOne)
{
    Hasher hasher;
    hasher.update("a");
    hasher.update("");
    hasher.update("bc");
    EXPECT_EQ(hasher.byteCount(), 3U);
    EXPECT_EQ(std::move(hasher).finish().base16(), kAbc);
}

TEST(Hash, AcceptsUpperCaseBase16AndWritesLowerCase)
{
    const auto hash = Hash::parse("sha256:BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD");
    ASSERT_TRUE(hash);
    EXPECT_EQ(hash->base16(), kAbc);
    EXPECT_EQ(hash->prefixedBase16(), "sha256:" + std::string(kAbc));
}

TEST(Hash, RefusesWhatBreaksARule)
{
    const std::string abc(kAbc);
    for (const std::string& text :
         {std::string(), abc, std::string("sha256:"), "sha3:" + abc, "md5:" + abc, "sha256:" + abc.substr(1),
          "sha256:" + abc + "0", "sha256:g" + abc.substr(1), "sha256-" + abc,
          // first character of base 32 with bits that no byte has
          std::string("sha256:2b8m03r63zqhnjf7l5wnldhh7c134ap5vpj0850ymkq1iyzicy5s"),
          // stray bits behind the last byte in base 64, and padding in the middle
          std::string("sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa1="),
          std::string("sha256-ungWv48Bz+pBQUDe=a4iI7ADYaOWF3qctBD/YfIAFa0=")}) {
        const auto hash = Hash::parse(text);
        ASSERT_FALSE(hash) << text;
        EXPECT_EQ(hash.error().code, ErrorCode::Invalid);
    }
    EXPECT_FALSE(Hash::parse("sha1:" + abc.substr(0, 40), HashAlgorithm::Sha256))
        << "another algorithm is expected";
    EXPECT_FALSE(Hash::fromBytes(HashAlgorithm::Sha256, bytesOf("short")));
}

TEST(Base32, NeedsTheExactLength)
{
    EXPECT_EQ(encodeBase32(bytesOf("")), "");
    EXPECT_EQ(decodeBase32("", 0), std::string());
    EXPECT_FALSE(decodeBase32("0", 0));
    EXPECT_FALSE(decodeBase32("0", 1));
    EXPECT_EQ(decodeBase32("7z", 1), std::string("\xFF"));
    EXPECT_FALSE(decodeBase32("8z", 1)) << "bits beyond the byte";
    EXPECT_FALSE(decodeBase32("7e", 1)) << "e is not in the alphabet";
    EXPECT_FALSE(decodeBase32("7Z", 1)) << "lower case only";
}

} // namespace
} // namespace penstock::nix
