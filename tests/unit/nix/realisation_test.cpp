// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nix/realisation.h"
#include "tests/support/golden.h"
#include "tests/unit/nix/cache_vectors.h"

#include <gtest/gtest.h>

namespace penstock::nix {
namespace {

constexpr std::string_view kId =
    "sha256:8137c9d9e1782d12bd6f7ab60b23532c79850d740338f4a6a07726f2815c63a8!out";
constexpr std::string_view kPath = "qgggmh3l96fi791a1gqbxc2lmf926cxz-floating";

std::string json(std::string_view more = "", std::string_view id = kId, std::string_view path = kPath)
{
    return R"({"id":")" + std::string(id) + R"(","outPath":")" + std::string(path) + "\"" +
           std::string(more) + "}";
}

TEST(Realisation, ReadsAndWritesWhatNixWrote)
{
    const auto files = test::goldenFiles("nix/cache/realisations", ".doi");
    ASSERT_GE(files.size(), 7U);
    std::size_t dependencies = 0;
    for (const std::string& file : files) {
        const std::string text = penstock::test::readGolden(file);
        const auto realisation = parseRealisation(text);
        ASSERT_TRUE(realisation) << file << ": " << realisation.error().message;
        EXPECT_EQ(printRealisation(*realisation), text);
        EXPECT_EQ("nix/cache/" + realisationKey(realisation->id), file);
        EXPECT_EQ(parseRealisationKey(file.substr(10)).value(), realisation->id);
        dependencies += realisation->dependencies.size();
    }
    EXPECT_GE(dependencies, 1U);
}

TEST(Realisation, IdsAreThoseOfNix)
{
    const auto rows = penstock::test::readGoldenTable("nix/realisations.tsv");
    ASSERT_GE(rows.size(), 15U);
    for (const auto& row : rows) {
        const auto id = RealisationId::parse(row[1]);
        ASSERT_TRUE(id) << row[1];
        EXPECT_EQ(id->print(), row[1]);
        EXPECT_EQ(id->output, row[1].substr(row[1].find('!') + 1));
    }
}

TEST(Realisation, NeedsNoSignaturesOrDependencies)
{
    const auto plain = parseRealisation(json());
    ASSERT_TRUE(plain) << plain.error().message;
    EXPECT_TRUE(plain->signatures.empty() && plain->dependencies.empty());
    EXPECT_EQ(parseRealisation(json(R"(, "future": [1], "signatures": [])")).value(), *plain);
}

TEST(Realisation, RefusesWhatIsNone)
{
    const std::string zeros(64, '0');
    for (const std::string_view id :
         {"", "out", "sha256:!out", "8137c9d9e1782d12bd6f7ab60b23532c79850d740338f4a6a07726f2815c63a8!out",
          "sha256:8137C9d9e1782d12bd6f7ab60b23532c79850d740338f4a6a07726f2815c63a8!out",
          "sha256:8137c9d9e1782d12bd6f7ab60b23532c79850d740338f4a6a07726f2815c63a8",
          "sha256:8137c9d9e1782d12bd6f7ab60b23532c79850d740338f4a6a07726f2815c63a8!",
          "sha256:8137c9d9e1782d12bd6f7ab60b23532c79850d740338f4a6a07726f2815c63a8!a!b",
          "sha256:8137c9d9e1782d12bd6f7ab60b23532c79850d740338f4a6a07726f2815c63a8!../x",
          "sha1:93cy7kafbb0c32dbhxixyafxhj2cpmwb!out"}) {
        EXPECT_FALSE(RealisationId::parse(id)) << id;
        EXPECT_FALSE(parseRealisation(json("", id))) << id;
    }
    EXPECT_TRUE(RealisationId::parse("sha256:" + zeros + "!out")) << "what newer daemons say";
    EXPECT_FALSE(parseRealisation(json("", kId, "/nix/store/" + std::string(kPath))));
    for (const std::string_view more :
         {R"(,"signatures":"x")", R"(,"signatures":[1])", R"(,"signatures":[""])",
          R"(,"signatures":["a\nb"])", R"(,"dependentRealisations":[])",
          R"(,"dependentRealisations":{"x":"y"})"})
        EXPECT_FALSE(parseRealisation(json(more))) << more;
    for (const std::string_view text : {"", "{}", "[]", R"({"id":1,"outPath":2})"})
        EXPECT_FALSE(parseRealisation(text)) << text;
    EXPECT_EQ(parseRealisation(std::string(kMaxRealisationBytes + 1, ' ')).error().code,
              ErrorCode::Exhausted);
    for (const std::string_view key :
         {"realisations/.doi", "realisations/doi", "nar/x.doi", "realisations/x"})
        EXPECT_FALSE(parseRealisationKey(key)) << key;
}

TEST(Realisation, IsSignedOverAllButItsSignatures)
{
    const SecretKey key = SecretKey::parse(penstock::test::readGolden("nix/keys/test-key.sec")).value();
    auto realisation = parseRealisation(json(R"(,"signatures":["other-1:abc"])")).value();
    EXPECT_FALSE(isSignedBy({key.publicKey()}, realisation));
    sign(realisation, key);
    EXPECT_EQ(realisation.signatures.size(), 2U);
    EXPECT_TRUE(isSignedBy({key.publicKey()}, realisation));
    EXPECT_EQ(parseRealisation(printRealisation(realisation)).value(), realisation);
    Realisation changed = realisation;
    changed.path = StorePath::fromBaseName("3312kys3knjskf490h2cq02gy5ydsrn5-debug").value();
    EXPECT_FALSE(isSignedBy({key.publicKey()}, changed));
    EXPECT_EQ(fingerprint(realisation), R"({"dependentRealisations":{},"id":")" + std::string(kId) +
                                            R"(","outPath":")" + std::string(kPath) + R"("})");
}

} // namespace
} // namespace penstock::nix
