// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nix/json.h"
#include "shared/nix/store_path.h"
#include "tests/support/golden.h"

#include <gtest/gtest.h>

namespace penstock::nix {
namespace {

using test::must;

const std::string kDigest = "3ghsl9sd83mc26i81adpa2fzf3yw4f68";

StorePath pathOf(std::string_view text)
{
    return StorePath::parse(StoreDir::standard(), text).value();
}

// paths.tsv: kind, name, path, path info as JSON.
struct Row {
    std::string kind, name;
    StorePath path;
    std::string ca;
    Hash narHash;
    StorePathSet references;
};
Row rowOf(const std::vector<std::string>& fields)
{
    const auto json = parseJson(fields.at(3)).value();
    const JsonValue& info = must(json.asArray()).at(0);
    Row row{fields[0],
            fields[1],
            pathOf(fields[2]),
            must(must(info.member("ca")).asString()),
            Hash::parse(must(must(info.member("narHash")).asString())).value(),
            {}};
    for (const JsonValue& reference : must(must(info.member("references")).asArray()))
        row.references.insert(pathOf(must(reference.asString())));
    return row;
}

TEST(StorePath, ComputesThePathsThatNixComputes)
{
    const StoreDir dir = StoreDir::standard();
    const auto rows = test::readGoldenTable("nix/paths.tsv");
    ASSERT_GE(rows.size(), 7U);
    for (const auto& fields : rows) {
        const Row row = rowOf(fields);
        const std::size_t hashAt = row.ca.rfind(':', row.ca.rfind(':') - 1) + 1;
        const Hash content = Hash::parse(std::string_view(row.ca).substr(hashAt)).value();
        if (row.ca.starts_with("text:")) {
            EXPECT_EQ(computeTextPath(dir, row.name, content, row.references), row.path) << row.kind;
            continue;
        }
        const FileMethod method = row.ca.starts_with("fixed:r:") ? FileMethod::Recursive : FileMethod::Flat;
        EXPECT_EQ(computeFixedPath(dir, row.name, method, content), row.path) << row.kind;
    }
}

TEST(StorePath, ComputesASourcePathThatRefersToItself)
{
    const Row row = rowOf(test::readGoldenTable("nix/paths-self.tsv").at(0));
    const Hash content = Hash::parse(row.ca.substr(std::string_view("fixed:r:").size())).value();
    EXPECT_EQ(computeSourcePath(StoreDir::standard(), row.name, content, {{}, true}), row.path);
    EXPECT_NE(computeSourcePath(StoreDir::standard(), row.name, content, {}), row.path);
}

TEST(StorePath, KeepsItsParts)
{
    const StorePath path = pathOf("/nix/store/" + kDigest + "-simple.drv");
    EXPECT_EQ(path.digest(), kDigest);
    EXPECT_EQ(path.name(), "simple.drv");
    EXPECT_TRUE(path.isDerivation());
    EXPECT_FALSE(pathOf("/nix/store/" + kDigest + "-.drv").isDerivation()) << "a derivation needs a name";
    EXPECT_EQ(path.print(StoreDir::parse("/tmp/s").value()), "/tmp/s/" + kDigest + "-simple.drv");
}

TEST(StorePath, AcceptsNamesUpToTheLimitAndNoLonger)
{
    EXPECT_TRUE(StorePath::fromBaseName(kDigest + "-" + std::string(211, 'a')));
    const auto longer = StorePath::fromBaseName(kDigest + "-" + std::string(212, 'a'));
    ASSERT_FALSE(longer);
    EXPECT_NE(longer.error().message.find("212"), std::string::npos);
    EXPECT_NE(longer.error().message.find("211"), std::string::npos);
}

TEST(StorePath, RefusesMalformedText)
{
    const StoreDir dir = StoreDir::standard();
    for (const std::string& text :
         {std::string(), std::string("/nix/store"), std::string("/nix/store/"), "/nix/store/" + kDigest,
          "/nix/store/" + kDigest + "-", "/nix/store/" + kDigest + "x-a",
          "/nix/store/" + kDigest.substr(1) + "-a", "/nix/store/" + kDigest + "-a/bin",
          "/nix/store/" + kDigest + "-a b", "/nix/store/" + kDigest + "-ä", "/nix/store/" + kDigest + "-.",
          "/nix/store/" + kDigest + "-..", "/nix/store/" + kDigest + "-..-x", "/nix/storf/" + kDigest + "-a",
          "nix/store/" + kDigest + "-a", "/nix/store//" + kDigest + "-a",
          "/nix/store/e" + kDigest.substr(1) + "-a", "/nix/store/" + kDigest + std::string("-a\0b", 4)}) {
        const auto path = StorePath::parse(dir, text);
        ASSERT_FALSE(path) << text;
        EXPECT_EQ(path.error().code, ErrorCode::Invalid);
    }
    EXPECT_TRUE(StorePath::parse(dir, "/nix/store/" + kDigest + "-.hidden"));
}

TEST(StorePath, SortsByBaseName)
{
    EXPECT_LT(pathOf("/nix/store/" + kDigest + "-B"), pathOf("/nix/store/" + kDigest + "-a"));
}

TEST(StoreDir, MustBeAPlainAbsolutePath)
{
    EXPECT_TRUE(StoreDir::parse("/tmp/a b/store"));
    for (const std::string_view text :
         {"", "/", "nix/store", "/nix/store/", "/nix//store", "/nix/../store", "/nix/./x", "/a\nb"})
        EXPECT_FALSE(StoreDir::parse(text)) << text;
    EXPECT_TRUE(StoreDir::parse("/" + std::string(kMaxStoreDirLength - 1, 'a')));
    EXPECT_FALSE(StoreDir::parse("/" + std::string(kMaxStoreDirLength, 'a')));
}

TEST(StoreDir, IsPartOfEveryHash)
{
    const Hash content = hashOf("x");
    EXPECT_NE(computeTextPath(StoreDir::standard(), "a", content, {}),
              computeTextPath(StoreDir::parse("/tmp/store").value(), "a", content, {}));
}

} // namespace
} // namespace penstock::nix
