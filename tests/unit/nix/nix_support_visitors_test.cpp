// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nix/nar_tee.h"
#include "shared/nix/nix_support.h"
#include "tests/support/nar_tree.h"

#include <gtest/gtest.h>

namespace penstock::nix {
namespace {

using namespace test;

const StoreDir kDir = StoreDir::standard();
const std::string kBase = "3312kys3knjskf490h2cq02gy5ydsrn5-hello";
const std::string kOut = "/nix/store/" + kBase;

SupportFiles filesOf(const Tree& tree)
{
    SupportFilesVisitor visitor;
    const auto parsed = parseNar(*narOf(tree), visitor);
    EXPECT_TRUE(parsed);
    return std::move(visitor).take();
}
Tree withSupport(std::map<std::string, Tree> entries)
{
    return folder({{"nix-support", folder(std::move(entries))}});
}
StorePath outPath()
{
    return StorePath::fromBaseName(kBase).value();
}

// All of it, as the builder does it for one output.
NixSupport supportOf(const Tree& tree)
{
    NixSupport support = mergeSupport(kDir, {{"out", outPath(), filesOf(tree)}});
    ProductVisitor visitor(outPath(), support);
    EXPECT_TRUE(parseNar(*narOf(tree), visitor));
    dropUnseen(support);
    return support;
}

TEST(SupportFiles, AreTakenFromNixSupport)
{
    const SupportFiles files = filesOf(withSupport({{"failed", file("")},
                                                    {"hydra-build-products", file("p\n")},
                                                    {"hydra-metrics", file("m\n")},
                                                    {"hydra-release-name", file("")},
                                                    {"other", file("x")}}));
    EXPECT_TRUE(files.isDirectory);
    EXPECT_TRUE(files.hasProducts);
    EXPECT_TRUE(files.failed);
    EXPECT_EQ(files.products, "p\n");
    EXPECT_EQ(files.metrics, "m\n");
    EXPECT_EQ(files.releaseName, "") << "there, but empty";
    EXPECT_EQ(files.notes.count(), 0U);
}

TEST(SupportFiles, AreAbsentWhereThereAreNone)
{
    for (const Tree& tree :
         {folder(), file("hydra-metrics"), folder({{"nix-support", folder()}}),
          folder({{"hydra-metrics", file("x 1")}, {"failed", file("")}}),
          folder({{"a", withSupport({{"failed", file("")}, {"hydra-metrics", file("x 1")}})}}),
          withSupport({{"deeper", folder({{"failed", file("")}, {"hydra-metrics", file("x 1")}})}}),
          folder({{"nix-support", file("x 1")}})}) {
        const SupportFiles files = filesOf(tree);
        EXPECT_EQ(files.isDirectory, tree.kind == Tree::Kind::Directory);
        EXPECT_FALSE(files.failed || files.hasProducts || files.products || files.metrics ||
                     files.releaseName);
    }
}

TEST(SupportFiles, AreNeverTakenThroughALink)
{
    const SupportFiles files = filesOf(withSupport({{"failed", link("nowhere")},
                                                    {"hydra-build-products", link("/etc/passwd")},
                                                    {"hydra-metrics", folder()},
                                                    {"hydra-release-name", link("other")},
                                                    {"other", file("x")}}));
    EXPECT_FALSE(files.hasProducts || files.products || files.metrics || files.releaseName);
    EXPECT_TRUE(files.failed) << "being there is enough, nothing is followed";
    EXPECT_EQ(files.notes.count(), 3U);
    const SupportFiles whole =
        filesOf(folder({{"nix-support", link("real")}, {"real", folder({{"hydra-metrics", file("x 1")}})}}));
    EXPECT_FALSE(whole.metrics);
    EXPECT_EQ(whole.notes.count(), 1U);
}

TEST(SupportFiles, AreTakenUpToTheLimitOnly)
{
    const std::string largest(kMaxSupportFile, '\n');
    EXPECT_EQ(filesOf(withSupport({{"hydra-build-products", file(largest)}})).products->size(),
              kMaxSupportFile);
    const SupportFiles files = filesOf(withSupport({{"hydra-build-products", file(largest + "\n")}}));
    EXPECT_FALSE(files.products);
    EXPECT_TRUE(files.hasProducts);
    ASSERT_EQ(files.notes.texts().size(), 1U);
    EXPECT_EQ(files.notes.texts()[0],
              "nix-support/hydra-build-products has 16777217 bytes; the limit is 16777216");
}

TEST(ProductFiles, GetTheirSizeAndHash)
{
    const std::string lines = "file a " + kOut + "/a.txt\nfile again " + kOut + "/a.txt\ndoc d " + kOut +
                              "/doc index.html\nfile empty " + kOut + "/empty\nall all " + kOut + "\n";
    const NixSupport support =
        supportOf(folder({{"a.txt", file("content")},
                          {"doc", folder({{"index.html", file("x")}})},
                          {"empty", file("")},
                          {"nix-support", folder({{"hydra-build-products", file(lines)}})}}));
    ASSERT_EQ(support.products.size(), 5U);
    for (const std::size_t i : {0U, 1U}) {
        EXPECT_EQ(support.products[i].kind, ProductKind::File);
        EXPECT_EQ(support.products[i].size, 7U);
        EXPECT_EQ(support.products[i].sha256, hashOf("content"));
    }
    EXPECT_EQ(support.products[2].kind, ProductKind::Directory);
    EXPECT_FALSE(support.products[2].size || support.products[2].sha256);
    EXPECT_EQ(support.products[3].size, 0U);
    EXPECT_EQ(support.products[3].sha256, hashOf(""));
    EXPECT_EQ(support.products[4].kind, ProductKind::Directory);
    EXPECT_EQ(support.notes.count(), 0U);
}

TEST(ProductFiles, AreNotReachedThroughLinks)
{
    const std::string lines = "file direct " + kOut + "/link\nfile through " + kOut +
                              "/folder/passwd\nfile none " + kOut + "/none\n";
    const NixSupport support =
        supportOf(folder({{"folder", link("/etc")},
                          {"link", link("/etc/passwd")},
                          {"nix-support", folder({{"hydra-build-products", file(lines)}})}}));
    ASSERT_EQ(support.products.size(), 1U);
    EXPECT_EQ(support.products[0].subtype, "direct");
    EXPECT_EQ(support.products[0].kind, ProductKind::Symlink);
    EXPECT_FALSE(support.products[0].size || support.products[0].sha256);
    ASSERT_EQ(support.notes.texts().size(), 2U);
    EXPECT_EQ(support.notes.texts()[0], "'" + kBase + "/folder/passwd' is not in the output");
}

TEST(ProductFiles, NeedNoSecondReadingWhereThereAreNone)
{
    NixSupport support = mergeSupport(kDir, {{"out", outPath(), filesOf(folder())}});
    ASSERT_EQ(support.products.size(), 1U);
    EXPECT_FALSE(ProductVisitor(outPath(), support).isNeeded()) << "that the output is a directory is known";
    support.products[0].kind.reset();
    EXPECT_TRUE(ProductVisitor(outPath(), support).isNeeded());
    support.products[0].relativePath = std::string(kMaxProductPath, 'x');
    dropUnseen(support);
    EXPECT_TRUE(support.products.empty());
    ASSERT_EQ(support.notes.texts().size(), 1U);
    EXPECT_LT(support.notes.texts()[0].size(), 500U) << "a note is for people";
}

TEST(ProductFiles, MayBeAFileThatIsTheWholeOutput)
{
    NixSupport support;
    support.products.push_back({"file", "x", outPath(), "", "", ""});
    ProductVisitor visitor(outPath(), support);
    ASSERT_TRUE(parseNar(*narOf(file("whole")), visitor));
    EXPECT_EQ(support.products[0].sha256, hashOf("whole"));
}

} // namespace
} // namespace penstock::nix
