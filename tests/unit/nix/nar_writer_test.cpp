// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nix/nar.h"
#include "tests/support/nar_tree.h"

#include <gtest/gtest.h>

namespace penstock::nix {
namespace {

using namespace test;

class NarWriting : public ::testing::Test {
protected:
    std::string m_out;
    std::size_t m_pieces = 0;
    NarWriter m_writer{[this](std::string_view bytes) -> Result<void> {
        m_out.append(bytes);
        ++m_pieces;
        return {};
    }};

    static void expectInvalid(const Result<void>& result, std::string_view part)
    {
        ASSERT_FALSE(result);
        EXPECT_EQ(result.error().code, ErrorCode::Invalid);
        EXPECT_NE(result.error().message.find(part), std::string::npos) << result.error().message;
    }
};

TEST_F(NarWriting, RefusesNamesThatDoNotAscend)
{
    ASSERT_TRUE(m_writer.beginDirectory(""));
    ASSERT_TRUE(m_writer.symlink("b", "x"));
    expectInvalid(m_writer.symlink("a", "x"), "'a' comes after 'b'");
    EXPECT_FALSE(m_writer.endDirectory()) << "a writer that failed stays so";
    EXPECT_FALSE(m_writer.finish());
}

TEST_F(NarWriting, RefusesMoreContentThanStated)
{
    ASSERT_TRUE(m_writer.beginFile("", 3, false));
    ASSERT_TRUE(m_writer.content("ab"));
    expectInvalid(m_writer.content("cd"), "2 bytes of content where 1 are due");
}

TEST_F(NarWriting, RefusesLessContentThanStated)
{
    ASSERT_TRUE(m_writer.beginDirectory(""));
    ASSERT_TRUE(m_writer.beginFile("a", 3, false));
    ASSERT_TRUE(m_writer.content("ab"));
    expectInvalid(m_writer.endDirectory(), "1 bytes of the open file are missing");
}

TEST_F(NarWriting, RefusesContentWithoutAFile)
{
    ASSERT_TRUE(m_writer.beginDirectory(""));
    ASSERT_TRUE(m_writer.content("")) << "nothing is never too much";
    expectInvalid(m_writer.content("x"), "where 0 are due");
}

TEST_F(NarWriting, RefusesASecondRootAndANamedOne)
{
    ASSERT_TRUE(m_writer.symlink("", "x"));
    expectInvalid(m_writer.symlink("", "x"), "after the root has ended");
    NarWriter other([](std::string_view) -> Result<void> { return {}; });
    expectInvalid(other.beginDirectory("name"), "the root has no name");
}

TEST_F(NarWriting, RefusesToFinishBeforeItIsWhole)
{
    NarWriter empty([](std::string_view) -> Result<void> { return {}; });
    expectInvalid(empty.finish(), "not whole");
    ASSERT_TRUE(m_writer.beginDirectory(""));
    expectInvalid(m_writer.finish(), "1 directories are open");
    NarWriter closed([](std::string_view) -> Result<void> { return {}; });
    expectInvalid(closed.endDirectory(), "no directory is open");
}

TEST_F(NarWriting, GathersSmallItemsAndPassesLargeContentOn)
{
    ASSERT_TRUE(m_writer.beginDirectory(""));
    for (int i = 100; i < 200; ++i) {
        ASSERT_TRUE(m_writer.beginFile(std::to_string(i), 1, false));
        ASSERT_TRUE(m_writer.content("x"));
    }
    EXPECT_EQ(m_pieces, 0U);
    ASSERT_TRUE(m_writer.beginFile("large", 1U << 20U, true));
    ASSERT_TRUE(m_writer.content(std::string(1U << 20U, 'y')));
    EXPECT_EQ(m_pieces, 2U);
    ASSERT_TRUE(m_writer.endDirectory());
    ASSERT_TRUE(m_writer.finish());
    EXPECT_EQ(m_pieces, 3U);
    const auto tree = treeOf(m_out, 5000);
    ASSERT_TRUE(tree);
    EXPECT_EQ(tree->entries.size(), 101U);
}

TEST_F(NarWriting, EndsWithTheErrorOfItsSink)
{
    int calls = 0;
    NarWriter writer([&calls](std::string_view) -> Result<void> {
        ++calls;
        return fail(ErrorCode::Exhausted, "disk full");
    });
    ASSERT_TRUE(writer.symlink("", "x"));
    const auto finished = writer.finish();
    ASSERT_FALSE(finished);
    EXPECT_EQ(finished.error().message, "disk full");
    EXPECT_FALSE(writer.finish());
    EXPECT_EQ(calls, 1) << "nothing more goes to a sink that failed";
}

} // namespace
} // namespace penstock::nix
