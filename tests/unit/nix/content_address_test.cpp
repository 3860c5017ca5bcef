// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nix/content_address.h"
#include "shared/nix/json.h"
#include "tests/support/golden.h"

#include <gtest/gtest.h>

namespace penstock::nix {
namespace {

using penstock::test::must;

const StoreDir kDir = StoreDir::standard();

struct Known {
    StorePath path;
    std::string address;
    StorePathSet references;
};

// All path infos with a content address in a table whose last column is `nix path-info --json`.
void collect(std::vector<Known>& all, std::string_view table)
{
    for (const auto& row : penstock::test::readGoldenTable(table)) {
        const JsonValue json = parseJson(row.back()).value();
        const JsonValue& info = must(json.asArray()).front();
        if (info.member("ca") == nullptr)
            continue;
        const auto text = [&info](std::string_view key) { return must(must(info.member(key)).asString()); };
        Known known{StorePath::parse(kDir, text("path")).value(), text("ca"), {}};
        for (const JsonValue& reference : must(must(info.member("references")).asArray()))
            known.references.insert(StorePath::parse(kDir, must(reference.asString())).value());
        all.push_back(std::move(known));
    }
}

std::vector<Known> vectors()
{
    std::vector<Known> all;
    collect(all, "nix/paths.tsv");
    collect(all, "nix/paths-self.tsv");
    collect(all, "nix/built.tsv");
    return all;
}

SourceReferences split(const Known& known)
{
    SourceReferences references{known.references, false};
    references.self = references.others.erase(known.path) > 0;
    return references;
}

TEST(ContentAddress, MakesEveryPathThatNixMade)
{
    const auto all = vectors();
    ASSERT_GE(all.size(), 8U);
    for (const Known& known : all) {
        const auto address = ContentAddress::parse(known.address);
        ASSERT_TRUE(address) << known.address;
        EXPECT_EQ(address->print(), known.address);
        EXPECT_EQ(computeContentPath(kDir, known.path.name(), *address, split(known)).value(), known.path)
            << known.address;
    }
}

TEST(ContentAddress, ReadsEveryLengthOfHash)
{
    const Hash hash = hashOf("x", HashAlgorithm::Sha512);
    for (const std::string& text : {"fixed:sha512:" + hash.base16(), "fixed:sha512:" + hash.base64()})
        EXPECT_EQ(ContentAddress::parse(text).value(), (ContentAddress{AddressMethod::Flat, hash})) << text;
}

TEST(ContentAddress, RefusesWhatNixDoesNotHave)
{
    const std::string sha256 = hashOf("x").prefixedBase32();
    const std::string sha1 = hashOf("x", HashAlgorithm::Sha1).prefixedBase32();
    for (const std::string& text :
         {std::string(), std::string("fixed:"), std::string("text:"), std::string("fixed:r:sha256:"), sha256,
          "source:" + sha256, "text:r:" + sha256, "text:" + sha1, "fixed:git:" + sha1, "fixed:x:" + sha256,
          "fixed:" + hashOf("x").sri(), "fixed:r:" + sha256 + "0", "fixed:r:r:" + sha256}) {
        const auto address = ContentAddress::parse(text);
        ASSERT_FALSE(address) << text;
        EXPECT_EQ(address.error().code, ErrorCode::Invalid);
        EXPECT_NE(address.error().message.find("content address"), std::string::npos);
    }
}

TEST(ContentAddress, RefusesReferencesWhereThePathCannotHoldThem)
{
    const StorePath other = StorePath::fromBaseName("3312kys3knjskf490h2cq02gy5ydsrn5-debug").value();
    const SourceReferences others{{other}, false};
    const SourceReferences self{{}, true};
    const Hash sha1 = hashOf("x", HashAlgorithm::Sha1);
    for (const ContentAddress& address :
         {ContentAddress{AddressMethod::Flat, hashOf("x")}, ContentAddress{AddressMethod::Flat, sha1},
          ContentAddress{AddressMethod::Recursive, sha1}}) {
        EXPECT_TRUE(computeContentPath(kDir, "x", address, {})) << address.print();
        EXPECT_FALSE(computeContentPath(kDir, "x", address, others)) << address.print();
        EXPECT_FALSE(computeContentPath(kDir, "x", address, self)) << address.print();
    }
    const ContentAddress text{AddressMethod::Text, hashOf("x")};
    EXPECT_TRUE(computeContentPath(kDir, "x", text, others));
    EXPECT_FALSE(computeContentPath(kDir, "x", text, self));
}

} // namespace
} // namespace penstock::nix
