// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/base/text.h"
#include "shared/nix/hash.h"
#include "shared/nix/nar.h"
#include "shared/nix/nar_rules.h"
#include "tests/support/golden.h"
#include "tests/support/nar_tree.h"

#include <gtest/gtest.h>

namespace penstock::nix {
namespace {

using namespace test;

// The trees that Nix dumped (testdata README).
const std::map<std::string, Tree>& knownTrees()
{
    static const std::map<std::string, Tree> kTrees = {
        {"empty-file", file("")},
        {"file", file("hello\n")},
        {"file-8-bytes", file("12345678")},
        {"executable", file("#!/bin/sh\nexit 0\n", true)},
        {"symlink", link("../target/of/link")},
        {"empty-dir", folder()},
        {"tree", folder({{"a", file("a")},
                         {"Z", file("upper")},
                         {"\xc3\xa4", file("umlaut")},
                         {"a b", file("x")},
                         {"a-b", file("dash")},
                         {"dangling", link("/absolute")},
                         {"dir", folder({{"run", file("#!/bin/sh\n", true)},
                                         {"link", link("run")},
                                         {"sub", folder({{".hidden", file("")}})}})}})}};
    return kTrees;
}

ErrorCode codeOf(const Result<Tree>& result)
{
    return result ? ErrorCode::Internal : result.error().code;
}
std::string messageOf(const Result<Tree>& result)
{
    return result ? "" : result.error().message;
}

std::string archive(const std::vector<std::string>& texts)
{
    return str("nix-archive-1") + strs(texts);
}
std::vector<std::string> entry(const std::string& name)
{
    return {"entry", "(", "name", name, "node", "(", "type", "symlink", "target", "t", ")", ")"};
}
std::string directoryOf(const std::vector<std::string>& names)
{
    std::vector<std::string> texts = {"(", "type", "directory"};
    for (const std::string& name : names)
        for (const std::string& text : entry(name))
            texts.push_back(text);
    texts.emplace_back(")");
    return archive(texts);
}

TEST(Nar, ReadsAndWritesEveryTreeAsNixDoes)
{
    const auto rows = penstock::test::readGoldenTable("nix/nar.tsv");
    ASSERT_EQ(rows.size(), knownTrees().size());
    for (const auto& row : rows) {
        const std::string bytes = fromHex(penstock::test::readGolden("nix/nar/" + row[0] + ".nar.hex"));
        EXPECT_EQ(std::to_string(bytes.size()), row[1]) << row[0];
        EXPECT_EQ(hashOf(bytes).base16(), row[2]) << row[0];
        const Tree& tree = knownTrees().at(row[0]);
        EXPECT_EQ(narOf(tree), bytes) << row[0];
        for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, std::size_t{64}, bytes.size()})
            EXPECT_EQ(treeOf(bytes, piece), tree) << row[0] << " in pieces of " << piece;
    }
}

TEST(Nar, TellsWhatItFindsInOrderWithOffsetsOfContent)
{
    const std::string bytes = *narOf(knownTrees().at("tree"));
    TreeBuilder builder;
    ASSERT_TRUE(parseNar(bytes, builder));
    const std::vector<std::string>& events = builder.events();
    ASSERT_EQ(events.size(), 22U);
    EXPECT_EQ(events[0], "dir ");
    EXPECT_EQ(events[1].substr(0, 9), "file Z 5@");
    const auto offset = parseUnsigned(events[1].substr(9));
    ASSERT_TRUE(offset);
    EXPECT_EQ(bytes.substr(*offset, 5), "upper");
    EXPECT_EQ(events[2], "eof");
    EXPECT_EQ(events[9], "link dangling /absolute");
    EXPECT_EQ(events[10], "dir dir");
    EXPECT_EQ(events[11], "link dir/link run");
    EXPECT_EQ(events[14], "dir dir/sub");
    EXPECT_EQ(events[15].substr(0, 23), "file dir/sub/.hidden 0@");
}

TEST(Nar, StopsAtTheEndAndLeavesWhatFollows)
{
    const std::string bytes = *narOf(file("hello"));
    TreeBuilder builder;
    NarParser parser(builder);
    EXPECT_EQ(parser.push(bytes + "more"), bytes.size());
    EXPECT_TRUE(parser.isDone());
    EXPECT_EQ(parser.byteCount(), bytes.size());
    EXPECT_EQ(parser.push("more"), 0U);
    EXPECT_TRUE(parser.finish());
    const auto whole = parseNar(bytes + "more", builder);
    ASSERT_FALSE(whole);
    EXPECT_EQ(whole.error().message, "NAR: the archive ends at byte 120, but 124 bytes were given");
}

TEST(Nar, RefusesEveryArchiveThatIsCutShort)
{
    const std::string bytes = *narOf(knownTrees().at("tree"));
    for (std::size_t length = 0; length < bytes.size(); ++length)
        EXPECT_EQ(codeOf(treeOf(bytes.substr(0, length), 100)), ErrorCode::Corrupt) << length;
}

TEST(Nar, RefusesNamesOutOfOrderAndDoubles)
{
    EXPECT_TRUE(treeOf(directoryOf({"a", "b"}), 8));
    EXPECT_NE(messageOf(treeOf(directoryOf({"b", "a"}), 8)).find("'a' comes after 'b'; names must ascend"),
              std::string::npos);
    EXPECT_EQ(codeOf(treeOf(directoryOf({"a", "a"}), 8)), ErrorCode::Corrupt);
    // As unsigned bytes: a letter of more than seven bits is greater than any other.
    EXPECT_TRUE(treeOf(directoryOf({"z", "\xc3\xa4"}), 8));
    EXPECT_EQ(codeOf(treeOf(directoryOf({"\xc3\xa4", "z"}), 8)), ErrorCode::Corrupt);
}

TEST(Nar, RefusesNamesThatAreNoNames)
{
    for (const std::string& name : {std::string(""), std::string("."), std::string(".."), std::string("a/b"),
                                    std::string("/"), std::string("a\0b", 3)})
        EXPECT_EQ(codeOf(treeOf(directoryOf({name}), 8)), ErrorCode::Corrupt) << name;
    for (const std::string& name : {std::string("..."), std::string(".a"), std::string("a\\\n\x7f")})
        EXPECT_TRUE(treeOf(directoryOf({name}), 8)) << name;
}

TEST(Nar, RefusesTargetsThatAreNoTargets)
{
    const auto linkTo = [](const std::string& target) {
        return archive({"(", "type", "symlink", "target", target, ")"});
    };
    EXPECT_TRUE(treeOf(linkTo("../../x"), 8));
    EXPECT_EQ(codeOf(treeOf(linkTo(""), 8)), ErrorCode::Corrupt);
    EXPECT_EQ(codeOf(treeOf(linkTo(std::string("a\0", 2)), 8)), ErrorCode::Corrupt);
}

TEST(Nar, TakesNamesAndTargetsUpToTheirLimitsOnly)
{
    const std::string longestName(kMaxNarName, 'n');
    const std::string longestTarget(kMaxNarTarget, 't');
    const Tree tree = folder({{longestName, link(longestTarget)}});
    const auto bytes = narOf(tree);
    ASSERT_TRUE(bytes);
    EXPECT_EQ(treeOf(*bytes, 1000), tree);
    EXPECT_EQ(codeOf(treeOf(directoryOf({longestName + "n"}), 1000)), ErrorCode::Exhausted);
    EXPECT_EQ(codeOf(treeOf(archive({"(", "type", "symlink", "target", longestTarget + "t", ")"}), 1000)),
              ErrorCode::Exhausted);
    EXPECT_EQ(narOf(folder({{longestName + "n", file("")}})).error().code, ErrorCode::Invalid);
    EXPECT_EQ(narOf(link(longestTarget + "t")).error().code, ErrorCode::Invalid);
}

TEST(Nar, TakesLevelsUpToTheLimitOnly)
{
    const auto deep = [](unsigned levels) { // written by hand, as NarWriter refuses what is too deep
        std::string out = str("nix-archive-1") + strs({"(", "type", "directory"});
        for (unsigned level = 1; level < levels; ++level)
            out += strs({"entry", "(", "name", "d", "node", "(", "type", "directory"});
        for (unsigned level = 1; level < levels; ++level)
            out += strs({")", ")"});
        return out + str(")");
    };
    Tree tree = folder();
    for (unsigned level = 1; level < kMaxNarNesting; ++level)
        tree = folder({{"d", tree}});
    EXPECT_EQ(narOf(tree), deep(kMaxNarNesting));
    EXPECT_EQ(treeOf(deep(kMaxNarNesting), 100), tree);
    EXPECT_EQ(codeOf(treeOf(deep(kMaxNarNesting + 1), 100)), ErrorCode::Exhausted);
    EXPECT_EQ(narOf(folder({{"d", tree}})).error().code, ErrorCode::Invalid);
}

TEST(Nar, StopsAtTheLimitsOfTheCaller)
{
    const std::string bytes = *narOf(folder({{"a", file("hello")}, {"b", link("a")}}));
    EXPECT_TRUE(treeOf(bytes, 9, {bytes.size(), 3}));
    for (std::uint64_t limit = 0; limit < bytes.size(); ++limit)
        for (const std::size_t piece : {std::size_t{9}, bytes.size()})
            EXPECT_EQ(codeOf(treeOf(bytes, piece, {limit, 3})), ErrorCode::Exhausted) << limit;
    EXPECT_EQ(codeOf(treeOf(bytes, 9, {bytes.size(), 2})), ErrorCode::Exhausted);
}

TEST(Nar, ChecksAStatedSizeBeforeItTakesContent)
{
    const std::string head = archive({"(", "type", "regular", "contents"});
    for (const std::uint64_t size : {std::uint64_t{1000}, UINT64_MAX, UINT64_MAX - 7, UINT64_MAX / 2}) {
        std::string bytes = head;
        for (unsigned shift = 0; shift < 64; shift += 8)
            bytes.push_back(static_cast<char>((size >> shift) & 0xFFU));
        TreeBuilder builder;
        NarParser parser(builder, {900, 10});
        const auto pushed = parser.push(bytes);
        ASSERT_FALSE(pushed);
        EXPECT_EQ(pushed.error().code, ErrorCode::Exhausted);
        EXPECT_TRUE(builder.events().empty());
    }
    TreeBuilder builder;
    NarParser unlimited(builder);
    EXPECT_FALSE(unlimited.push(head + std::string(8, '\xff'))) << "no archive is larger than its integers";
}

TEST(Nar, RefusesPaddingThatIsNotZero)
{
    const std::string bytes = *narOf(folder({{"abc", file("hello")}}));
    std::size_t refused = 0;
    for (const std::string_view text : {"nix-archive-1", "directory", "abc", "hello", "contents\5"}) {
        std::string damaged = bytes;
        std::size_t at = bytes.find(text) + text.size();
        if (text == "contents\5")
            at = bytes.find("hello") + 7; // the last byte of padding
        ASSERT_EQ(damaged.at(at), '\0');
        damaged[at] = 'x';
        const auto parsed = treeOf(damaged, 1000);
        ASSERT_FALSE(parsed) << text;
        EXPECT_NE(messageOf(parsed).find("padding is not zero"), std::string::npos) << text;
        ++refused;
    }
    EXPECT_EQ(refused, 5U);
}

TEST(Nar, RefusesFieldsThatAreMissingDoubleOrOutOfOrder)
{
    const std::vector<std::vector<std::string>> archives = {
        {"(", "type", "regular", ")"},
        {"(", "type", "regular", "executable", "x", "contents", "c", ")"},
        {"(", "type", "regular", "executable", "", "executable", "", "contents", "c", ")"},
        {"(", "type", "regular", "contents", "c", "executable", "", ")"},
        {"(", "type", "regular", "contents", "c", "contents", "c", ")"},
        {"(", "type", "symlink", ")"},
        {"(", "type", "symlink", "target", "a", "target", "b", ")"},
        {"(", "type", "directory", "entry", "(", "node", "(", "type", "directory", ")", ")", ")"},
        {"(", "type", "directory", "entry", "(", "name", "a", ")", ")"},
        {"(", "type", "directory", "entry", "(", "name", "a", "name", "b", ")", ")"},
        {"(", "type", "fifo", ")"},
        {"(", "type", "regular", "type", "regular", "contents", "c", ")"},
        {"type", "regular", "contents", "c", ")"},
        {"(", "target", "a", ")"},
        {"(", "type", "directory", "contents", "c", ")"}};
    for (const auto& texts : archives)
        EXPECT_EQ(codeOf(treeOf(archive(texts), 1000)), ErrorCode::Corrupt)
            << ::testing::PrintToString(texts);
    EXPECT_EQ(codeOf(treeOf(str("nix-archive-2"), 1000)), ErrorCode::Corrupt);
    EXPECT_NE(messageOf(treeOf(str(std::string(33, 'x')), 1000)).find("a string of 33 bytes"),
              std::string::npos);
}

TEST(Nar, StaysFailedAfterAFailure)
{
    TreeBuilder builder;
    NarParser parser(builder);
    EXPECT_FALSE(parser.push(str("junk")));
    EXPECT_FALSE(parser.push(*narOf(folder())));
    EXPECT_FALSE(parser.finish());
    EXPECT_FALSE(parser.isDone());
}

TEST(Nar, EndsWithTheErrorOfItsVisitor)
{
    struct Full final : NarVisitor {
        Result<void> onContent(std::string_view) override { return fail(ErrorCode::Exhausted, "disk full"); }
    };
    Full visitor;
    const auto parsed = parseNar(*narOf(file("x")), visitor);
    ASSERT_FALSE(parsed);
    EXPECT_EQ(parsed.error(), (Error{ErrorCode::Exhausted, "disk full"}));
}

TEST(Nar, KnowsTheWordsThatComeTogetherAsTheyAreWritten)
{
    EXPECT_EQ(kNarClosing, strs({")", ")"}));
    EXPECT_EQ(kNarEntry, strs({"entry", "(", "name"}));
    EXPECT_EQ(kNarNode, strs({"node", "(", "type"}));
    EXPECT_EQ(kNarContents, str("contents"));
}

TEST(Nar, PassesContentThroughWithoutCopyingIt)
{
    const std::string bytes = *narOf(file(std::string(100'000, 'x')));
    struct Watch final : NarVisitor {
        std::vector<std::string_view> pieces;
        Result<void> onContent(std::string_view piece) override
        {
            pieces.push_back(piece);
            return {};
        }
    };
    Watch visitor;
    ASSERT_TRUE(parseNar(bytes, visitor));
    ASSERT_EQ(visitor.pieces.size(), 1U);
    EXPECT_EQ(visitor.pieces[0].size(), 100'000U);
    EXPECT_EQ(visitor.pieces[0].data(), bytes.data() + 96);
}

} // namespace
} // namespace penstock::nix
