// SPDX-License-Identifier: GPL-3.0-or-later
// NARs and export streams against the real nix-store: what we write it unpacks and imports, what it dumps and
// exports we read, and both write the same bytes.
#include "shared/nix/export_stream.h"
#include "shared/nix/hash.h"
#include "shared/nix/references.h"
#include "tests/support/nar_tree.h"
#include "tests/support/nix_fixture.h"

#include <filesystem>
#include <fstream>
#include <utility>

#include <gtest/gtest.h>

namespace penstock::nix {
namespace {

using namespace test;
using penstock::test::NixFixture;

// Names and sizes around every border that the format has.
Tree widelyMadeTree()
{
    std::map<std::string, Tree> entries = {{"link", link("../no where")},
                                           {std::string(255, 'n'), link(std::string(4095, 't'))},
                                           {"\xc3\xa4 \xff\x01", file("not UTF-8 in its name")},
                                           {"...", file("#!/bin/sh\n", true)},
                                           {"empty", folder()}};
    for (const std::size_t size : {0U, 1U, 7U, 8U, 9U, 65'535U, 65'536U, 1'000'001U})
        entries.emplace("f" + std::to_string(size), file(std::string(size, 'x'), size % 2 == 0));
    Tree deep = file("bottom");
    for (int level = 0; level < 20; ++level)
        deep = folder({{"d", deep}, {"D", file("")}});
    entries.emplace("deep", deep);
    return folder(std::move(entries));
}

class NarTools : public ::testing::Test {
protected:
    void SetUp() override
    {
        auto started = NixFixture::start();
        ASSERT_TRUE(started) << started.error().message;
        m_nix = *std::move(started);
    }
    std::string run(const std::string& command)
    {
        auto output = m_nix->run({"/bin/sh", "-c", "set -e; cd '" + m_nix->root() + "'; " + command});
        EXPECT_TRUE(output) << command << ": " << output.error().message;
        return output.value_or("");
    }
    void write(const std::string& name, const std::string& bytes) const
    {
        std::ofstream(m_nix->root() + "/" + name, std::ios::binary) << bytes;
    }
    std::unique_ptr<NixFixture> m_nix;
};

TEST_F(NarTools, NixUnpacksWhatWeWriteAndDumpsTheSameBytes)
{
    int number = 0;
    for (const Tree& tree : {widelyMadeTree(), folder(), file(""), file("x", true), link("x")}) {
        const std::string archive = *narOf(tree);
        const std::string name = "tree" + std::to_string(number++);
        write(name + ".nar", archive);
        const std::string dumped =
            run("nix-store --restore " + name + " < " + name + ".nar; nix-store --dump " + name);
        EXPECT_TRUE(dumped == archive) << name << ": " << dumped.size() << " bytes, ours " << archive.size();
        EXPECT_EQ(treeOf(dumped, 4096), tree) << name;
    }
}

struct Received final : ExportVisitor {
    std::vector<std::pair<ExportedPath, std::string>> paths;
    std::string nar;
    Result<void> onNar(std::string_view bytes) override
    {
        nar.append(bytes);
        return {};
    }
    Result<void> onPath(const ExportedPath& path) override
    {
        paths.emplace_back(path, std::exchange(nar, {}));
        return {};
    }
};

TEST_F(NarTools, NixImportsWhatWeExportAndWeReadWhatItExports)
{
    const std::string added = "nix-store --add ";
    write("first", "first\n");
    std::string first = run(added + "first");
    first.pop_back(); // the newline
    write("second", "refers to " + first);
    const StoreDir& dir = m_nix->storeDir();
    const std::string stream = run("nix-store --export " + first + " $(" + added + "second)");
    Received received;
    ExportReader reader(dir, received);
    const auto pushed = reader.push(stream);
    ASSERT_TRUE(pushed) << pushed.error().message;
    EXPECT_EQ(*pushed, stream.size());
    ASSERT_TRUE(reader.finish());
    ASSERT_EQ(received.paths.size(), 2U);
    // Neither is declared to refer to the other, so their order is Nix's affair.
    if (received.paths[0].first.path.print(dir) != first)
        std::swap(received.paths[0], received.paths[1]);
    const auto& [path, archive] = received.paths[0];
    EXPECT_EQ(path.path.print(dir), first);
    EXPECT_EQ(treeOf(archive, 10)->text, "first\n");
    ReferenceScanner scanner(StorePathSet{path.path});
    scanner.push(received.paths[1].second);
    EXPECT_EQ(scanner.found().size(), 1U);

    // A third path of ours, which refers to the first and to itself.
    const auto own = StorePath::fromBaseName("3312kys3knjskf490h2cq02gy5ydsrn5-own");
    ASSERT_TRUE(own);
    const std::string ours = *narOf(folder({{"f", file(first + own->print(dir))}}));
    std::string out;
    ExportWriter writer(dir, [&out](std::string_view bytes) -> Result<void> {
        out.append(bytes);
        return {};
    });
    ASSERT_TRUE(writer.nar(ours));
    ASSERT_TRUE(writer.endPath({*own, {*own, path.path}, std::nullopt}));
    ASSERT_TRUE(writer.finish());
    write("own.export", out);
    EXPECT_EQ(run("nix-store --import < own.export"), own->print(dir) + "\n");
    std::string references;
    for (const StorePath& reference : StorePathSet{*own, path.path})
        references += reference.print(dir) + "\n";
    EXPECT_EQ(run("nix-store --query --references " + own->print(dir) + " | LC_ALL=C sort"), references);
    EXPECT_EQ(run("nix-store --query --hash " + own->print(dir)), hashOf(ours).prefixedBase32() + "\n");
    EXPECT_EQ(run("nix-store --export " + own->print(dir)), out);
}

} // namespace
} // namespace penstock::nix
