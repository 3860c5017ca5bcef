// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nix/nix_support.h"

#include <gtest/gtest.h>

namespace penstock::nix {
namespace {

const StoreDir kDir = StoreDir::standard();
const std::string kBase = "3312kys3knjskf490h2cq02gy5ydsrn5-hello-1.0";
const std::string kOut = "/nix/store/" + kBase;

std::vector<BuildProduct> products(const std::string& text)
{
    SupportNotes notes;
    return parseProducts(kDir, text, notes);
}
// The one product of a line, or nothing; a line that gives none says why.
std::optional<BuildProduct> product(const std::string& line)
{
    SupportNotes notes;
    const auto parsed = parseProducts(kDir, line, notes);
    EXPECT_EQ(parsed.empty(), notes.count() == 1) << line;
    return parsed.empty() ? std::nullopt : std::optional(parsed.at(0));
}
std::map<std::string, BuildMetric> metrics(const std::string& text)
{
    SupportNotes notes;
    return parseMetrics(text, notes);
}
std::optional<std::string> releaseName(const std::string& text)
{
    SupportNotes notes;
    return parseReleaseName(text, notes);
}

TEST(Products, AreReadFromEveryFormOfLine)
{
    const auto found = products("doc manual " + kOut + "/share/doc index.html\n\n" + "file\tsource-dist  \"" +
                                kOut + "/my file.tar.gz\"\r\n" + "report coverage " + kOut + "\nfile a-_0 " +
                                kOut + "/./x//y/ \t\n" + "doc quoted \"" + kOut + "/d\" sub/./page.html");
    ASSERT_EQ(found.size(), 5U);
    EXPECT_EQ(found[0].type, "doc");
    EXPECT_EQ(found[0].subtype, "manual");
    EXPECT_EQ(found[0].output.baseName(), kBase);
    EXPECT_EQ(found[0].relativePath, "share/doc");
    EXPECT_EQ(found[0].defaultPath, "index.html");
    EXPECT_EQ(found[0].name, "doc");
    EXPECT_FALSE(found[0].kind);
    EXPECT_EQ(found[1].subtype, "source-dist");
    EXPECT_EQ(found[1].relativePath, "my file.tar.gz");
    EXPECT_EQ(found[1].name, "my file.tar.gz");
    EXPECT_EQ(found[2].relativePath, "");
    EXPECT_EQ(found[2].name, "") << "the output itself has no name";
    EXPECT_EQ(found[3].relativePath, "x/y");
    EXPECT_EQ(found[4].defaultPath, "sub/page.html");
}

TEST(Products, AreNotReadFromLinesThatDoNotMatchWhole)
{
    for (const std::string& line : std::vector<std::string>{
             "doc", "doc manual", "do!c manual " + kOut, "doc man/ual " + kOut,
             "doc manual " + kOut + " index.html more", "doc manual \"" + kOut, "doc manual \"\"",
             "doc manual \"" + kOut + "\"x", "doc manual " + kOut + "\"x", "doc manual <" + kOut + ">",
             "doc manual  " + kOut + "/a<b", kOut, "x" + std::string(kMaxSupportWord, 'x') + " y " + kOut})
        EXPECT_FALSE(product(line)) << line;
    EXPECT_TRUE(product(std::string(kMaxSupportWord, 'x') + " y " + kOut));
}

TEST(Products, MustLieInAStorePath)
{
    for (const std::string& path : std::vector<std::string>{
             "/etc/passwd", "relative", "/nix/store", "/nix/store/", "/nix/store/junk",
             "/nix/stores/" + kBase, "/gnu/store/" + kBase, kOut + "/../../../etc/passwd", kOut + "/..",
             kOut + "/a/../b", "/nix/store/../store/" + kBase, "/nix/store/.links/x", kOut.substr(1), "/"})
        EXPECT_FALSE(product("doc manual " + path)) << path;
    EXPECT_TRUE(product("doc manual " + kOut + "/..a/b..")) << "only a part that is '..' leads up";
    EXPECT_TRUE(product("doc manual //nix/./store//" + kBase + "/x"));
}

TEST(Products, MayNotHaveControlCharactersOrBrokenText)
{
    for (const std::string& path : {kOut + "/a\x01z", kOut + "/a\x7f", kOut + "/a\xff",
                                    "\"" + kOut + "/a\tb\"", kOut + std::string("/a\0b", 4)})
        EXPECT_FALSE(product("doc manual " + path)) << path;
    EXPECT_EQ(product("doc manual " + kOut + "/\xc3\xa4")->relativePath, "\xc3\xa4");
    EXPECT_EQ(product("doc manual " + kOut + "/\xc3\xa4")->name, "") << "an unusual name is not shown";
    EXPECT_EQ(product("doc manual " + kOut + "/a&b")->name, "");
}

TEST(Products, HavePathsUpToTheLimitOnly)
{
    const std::string longest = kOut + "/" + std::string(kMaxProductPath - kOut.size() - 1, 'x');
    EXPECT_TRUE(product("doc manual " + longest));
    EXPECT_FALSE(product("doc manual " + longest + "x"));
}

TEST(Products, LoseADefaultPathThatLeadsElsewhere)
{
    for (const std::string& path :
         {std::string("../../x"), std::string("/etc/passwd"), std::string("a/../b"), std::string("a<b"),
          std::string("\"a\""), std::string("\x01"), std::string(kMaxProductPath + 1, 'x')}) {
        SupportNotes notes;
        const auto found = parseProducts(kDir, "doc manual " + kOut + " " + path, notes);
        ASSERT_EQ(found.size(), 1U) << path;
        EXPECT_EQ(found[0].defaultPath, "") << path;
        EXPECT_EQ(notes.count(), 1U) << path;
    }
}

TEST(Products, AreBoundedInNumber)
{
    std::string text;
    for (std::size_t i = 0; i < kMaxProducts; ++i)
        text += "doc manual " + kOut + "/" + std::to_string(i) + "\n";
    SupportNotes notes;
    EXPECT_EQ(parseProducts(kDir, text, notes).size(), kMaxProducts);
    EXPECT_EQ(notes.count(), 0U);
    const auto found = parseProducts(kDir, text + "doc manual " + kOut + "/last\n", notes);
    EXPECT_EQ(found.size(), kMaxProducts);
    EXPECT_EQ(found.back().relativePath, "999");
    ASSERT_EQ(notes.texts().size(), 1U);
    EXPECT_EQ(notes.texts()[0], "line 1001: more than 1000 products");
}

TEST(Metrics, AreNamesNumbersAndUnits)
{
    const auto found =
        metrics("loc 1234\n time.user_x-y\t1.5e3   s\ngrowth -0.25 %\nplus +2 KiB/s\nloc 99\n");
    const std::map<std::string, BuildMetric> expected = {
        {"loc", {99, ""}}, {"time.user_x-y", {1500, "s"}}, {"growth", {-0.25, "%"}}, {"plus", {2, ""}}};
    EXPECT_EQ(found, expected) << "a unit with other characters is none, and the last line of a name counts";
}

TEST(Metrics, AreNotReadFromLinesThatDoNotMatchWhole)
{
    for (const std::string& line : std::vector<std::string>{
             "loc", "loc x", "loc 1x", "loc 0x10", "loc nan", "loc inf", "loc -infinity", "loc 1e999",
             "l!oc 1", "l\xff 1", "loc +-1", "loc ++1", "loc +", "loc 1,5"}) {
        SupportNotes notes;
        EXPECT_TRUE(parseMetrics(line, notes).empty()) << line;
        EXPECT_EQ(notes.count(), 1U) << line;
    }
    const std::string longest(kMaxSupportWord, 'm');
    EXPECT_EQ(metrics(longest + " 1 " + longest).at(longest).unit, longest);
    EXPECT_EQ(metrics("m 1 " + longest + "m").at("m").unit, "");
    EXPECT_EQ(metrics("loc 1 s and more").at("loc"), (BuildMetric{1, "s"})) << "what follows is none of it";
    EXPECT_TRUE(metrics(longest + "m 1").empty());
}

TEST(Metrics, AreBoundedInNumberButTheLastValueStillCounts)
{
    std::string text;
    for (std::size_t i = 0; i < kMaxMetrics; ++i)
        text += "m" + std::to_string(i) + " 1\n";
    SupportNotes notes;
    const auto found = parseMetrics(text + "new 1\nm5 2\n", notes);
    EXPECT_EQ(found.size(), kMaxMetrics);
    EXPECT_FALSE(found.contains("new"));
    EXPECT_EQ(found.at("m5").value, 2);
    EXPECT_EQ(notes.count(), 1U);
}

TEST(ReleaseName, IsTrimmedAndOfSafeCharacters)
{
    EXPECT_EQ(releaseName(" nixos-24.05pre1:a@b_c\r\n"), "nixos-24.05pre1:a@b_c");
    EXPECT_EQ(releaseName(std::string(kMaxSupportWord, 'r')), std::string(kMaxSupportWord, 'r'));
    for (const std::string& text :
         {std::string(), std::string(" \n"), std::string("a b"), std::string("a\nb"), std::string("<script>"),
          std::string("a/b"), std::string("\xc3\xa4"), std::string("a\0", 2),
          std::string(kMaxSupportWord + 1, 'r')})
        EXPECT_FALSE(releaseName(text)) << text;
}

TEST(SupportNotes, AreBoundedAndStayReadable)
{
    SupportNotes notes;
    std::string text;
    for (std::size_t i = 0; i < kMaxSupportNotes + 5; ++i)
        text += "\xff" + std::string(1000, 'x') + "\n";
    EXPECT_TRUE(parseProducts(kDir, text, notes).empty());
    EXPECT_EQ(notes.count(), kMaxSupportNotes + 5);
    ASSERT_EQ(notes.texts().size(), kMaxSupportNotes);
    EXPECT_LT(notes.texts()[0].size(), 200U);
    EXPECT_EQ(notes.texts()[0].find('\xff'), std::string::npos);
    SupportNotes more;
    more.addAll(notes, "out");
    EXPECT_EQ(more.count(), notes.count());
    EXPECT_EQ(more.texts()[0], "out: " + notes.texts()[0]);
}

OutputSupport output(const std::string& name, const std::string& path)
{
    SupportFiles files;
    files.isDirectory = true;
    return {name, StorePath::fromBaseName(path).value(), files};
}
const std::string kDev = "qgggmh3l96fi791a1gqbxc2lmf926cxz-hello-1.0-dev";

TEST(NixSupport, MakesDirectoriesProductsOnlyWhenNoOutputHasAFileOfThem)
{
    OutputSupport dev = output("dev", kDev);
    OutputSupport lib = output("lib", "x8sky50l8117g8rzq0c7plnfjhn848r2-hello-1.0-lib");
    OutputSupport out = output("out", kBase);
    lib.files.isDirectory = false;
    const NixSupport implicit = mergeSupport(kDir, {dev, lib, out});
    ASSERT_EQ(implicit.products.size(), 2U);
    EXPECT_EQ(implicit.products[0].type, "nix-build");
    EXPECT_EQ(implicit.products[0].subtype, "dev");
    EXPECT_EQ(implicit.products[0].name, "hello-1.0-dev");
    EXPECT_EQ(implicit.products[0].kind, ProductKind::Directory);
    EXPECT_EQ(implicit.products[1].subtype, "");
    EXPECT_EQ(implicit.products[1].name, "hello-1.0");
    dev.files.hasProducts = true;
    dev.files.products = "no product\n";
    EXPECT_TRUE(mergeSupport(kDir, {dev, lib, out}).products.empty());
    dev.files.products.reset(); // it was too large
    EXPECT_TRUE(mergeSupport(kDir, {dev, lib, out}).products.empty());
}

TEST(NixSupport, MergesOutputsInTheirOrder)
{
    OutputSupport dev = output("dev", kDev);
    OutputSupport out = output("out", kBase);
    dev.files.hasProducts = out.files.hasProducts = true;
    dev.files.products = "doc dev " + kOut + "/b\n";
    out.files.products =
        "doc out " + kOut + "/a\njunk\ndoc else /nix/store/x8sky50l8117g8rzq0c7plnfjhn848r2-else/c\n";
    dev.files.metrics = "a 1\nb 1\n";
    out.files.metrics = "b 2\nc 2\n";
    dev.files.releaseName = "first\n";
    out.files.releaseName = "second\n";
    const NixSupport merged = mergeSupport(kDir, {dev, out});
    ASSERT_EQ(merged.products.size(), 2U);
    EXPECT_EQ(merged.products[0].subtype, "dev");
    EXPECT_EQ(merged.products[1].subtype, "out");
    EXPECT_EQ(merged.metrics.at("b").value, 2);
    EXPECT_EQ(merged.metrics.size(), 3U);
    EXPECT_EQ(merged.releaseName, "second") << "the last counts";
    EXPECT_FALSE(merged.failed);
    ASSERT_EQ(merged.notes.texts().size(), 2U);
    EXPECT_EQ(merged.notes.texts()[0], "out: hydra-build-products: line 2: 'junk ' are no type and subtype");
    EXPECT_EQ(merged.notes.texts()[1], "out: hydra-build-products: "
                                       "'x8sky50l8117g8rzq0c7plnfjhn848r2-else' is no output of this build");
    out.files.releaseName = "bad name";
    out.files.failed = true;
    EXPECT_EQ(mergeSupport(kDir, {dev, out}).releaseName, "first") << "the last that is one";
    EXPECT_TRUE(mergeSupport(kDir, {dev, out}).failed);
}

TEST(NixSupport, IsBoundedOverAllOutputs)
{
    std::string text;
    std::string numbers;
    for (std::size_t i = 0; i < kMaxProducts - 1; ++i) {
        text += "doc x " + kOut + "\n";
        numbers += "m" + std::to_string(i) + " 1\n";
    }
    OutputSupport dev = output("dev", kDev);
    OutputSupport out = output("out", kBase);
    dev.files.products = out.files.products = text;
    dev.files.metrics = numbers;
    out.files.metrics = "x 1\ny 1\nm0 2\n";
    const NixSupport merged = mergeSupport(kDir, {dev, out});
    EXPECT_EQ(merged.products.size(), kMaxProducts);
    EXPECT_EQ(merged.metrics.size(), kMaxMetrics);
    EXPECT_TRUE(merged.metrics.contains("x"));
    EXPECT_FALSE(merged.metrics.contains("y"));
    EXPECT_EQ(merged.metrics.at("m0").value, 2);
    EXPECT_EQ(merged.notes.count(), kMaxProducts - 2 + 1);
}

} // namespace
} // namespace penstock::nix
