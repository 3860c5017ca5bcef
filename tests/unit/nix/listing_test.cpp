// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nix/debug_info.h"
#include "shared/nix/json.h"
#include "shared/nix/listing.h"
#include "shared/nix/nar_tee.h"
#include "tests/support/golden.h"
#include "tests/support/nar_tree.h"

#include <filesystem>

#include <gtest/gtest.h>

namespace penstock::nix {
namespace {

using namespace test;
using penstock::test::goldenPath;
using penstock::test::readGolden;

Result<std::string> listingOf(const Tree& tree, std::size_t maxBytes = kMaxListingBytes)
{
    PENSTOCK_TRY(const std::string archive, narOf(tree));
    ListingBuilder builder(maxBytes);
    PENSTOCK_TRY_VOID(parseNar(archive, builder));
    return std::move(builder).finish();
}

std::vector<DebugFile> debugFilesOf(const Tree& tree)
{
    DebugInfoVisitor visitor;
    EXPECT_TRUE(parseNar(*narOf(tree), visitor));
    return visitor.files();
}

std::string valueOf(const std::string& narinfo, const std::string& key)
{
    const std::size_t at = narinfo.find(key + ": ") + key.size() + 2;
    return narinfo.substr(at, narinfo.find('\n', at) - at);
}

TEST(Listing, IsByteForByteThatOfNix)
{
    std::size_t count = 0;
    for (const auto& file : std::filesystem::directory_iterator(goldenPath("nix/cache"))) {
        if (file.path().extension() != ".ls")
            continue;
        const std::string name = "nix/cache/" + file.path().stem().string();
        const std::string url = valueOf(readGolden(name + ".narinfo"), "URL");
        const std::string archive = fromHex(readGolden("nix/cache/" + url + ".hex"));
        ListingBuilder builder;
        ASSERT_TRUE(parseNar(archive, builder)) << name;
        EXPECT_EQ(std::move(builder).finish(), readGolden(name + ".ls")) << name;
        ++count;
    }
    EXPECT_EQ(count, 10U);
}

TEST(Listing, EscapesWhatJsonAsksFor)
{
    const std::string name = "a\"b\\c\n\x01\x7f\xc3\xa4";
    const auto listing = listingOf(folder({{name, link("\t\b\f\r")}}));
    ASSERT_TRUE(listing);
    EXPECT_NE(listing->find(R"("a\"b\\c\n\u0001)"), std::string::npos);
    const auto json = parseJson(*listing);
    ASSERT_TRUE(json) << json.error().message;
    const JsonValue* entries = penstock::test::must(json->member("root")).member("entries");
    const JsonValue* entry = penstock::test::must(entries).member(name);
    EXPECT_EQ(*penstock::test::must(penstock::test::must(entry).member("target")).asString(), "\t\b\f\r");
}

TEST(Listing, IsNoneWhenANameOrTargetIsNotUtf8)
{
    for (const Tree& tree : {folder({{"\xff", file("")}, {"\xff\xff", folder({{"x", file("")}})}}),
                             folder({{"a", link("\xc3")}, {"b", file("")}})}) {
        const auto listing = listingOf(tree);
        ASSERT_FALSE(listing);
        EXPECT_EQ(listing.error().code, ErrorCode::Invalid);
        EXPECT_NE(listing.error().message.find("is not UTF-8"), std::string::npos);
    }
}

TEST(Listing, IsNoneAboveItsLimit)
{
    const Tree tree = folder({{"a", file("x")}, {"b", folder({{"c", file("y", true)}})}});
    const auto whole = listingOf(tree);
    ASSERT_TRUE(whole);
    EXPECT_EQ(listingOf(tree, whole->size()), whole);
    for (std::size_t limit = 0; limit < whole->size(); ++limit) {
        const auto cut = listingOf(tree, limit);
        ASSERT_FALSE(cut) << limit;
        EXPECT_EQ(cut.error().code, ErrorCode::Exhausted);
    }
}

TEST(Listing, IsNoneOfAnArchiveThatIsNotWhole)
{
    EXPECT_FALSE(ListingBuilder().finish());
    const std::string archive = *narOf(folder({{"a", file("x")}}));
    ListingBuilder builder;
    NarParser parser(builder);
    ASSERT_TRUE(parser.push(archive.substr(0, archive.size() - 20)));
    EXPECT_EQ(std::move(builder).finish().error().code, ErrorCode::Invalid);
}

TEST(DebugInfo, FindsTheBuildIdThatNixFinds)
{
    const std::string narinfo = readGolden("nix/cache/3312kys3knjskf490h2cq02gy5ydsrn5.narinfo");
    const std::string archive = fromHex(readGolden("nix/cache/" + valueOf(narinfo, "URL") + ".hex"));
    DebugInfoVisitor visitor;
    ASSERT_TRUE(parseNar(archive, visitor));
    const std::vector<DebugFile> expected = {
        {"abcdef0123456789abcdef0123456789abcdef01",
         "lib/debug/.build-id/ab/cdef0123456789abcdef0123456789abcdef01.debug"}};
    EXPECT_EQ(visitor.files(), expected);
    EXPECT_FALSE(visitor.isCut());
}

TEST(DebugInfo, TakesRegularFilesWithHexadecimalNamesOfTheRightLengthOnly)
{
    const auto of = [](const std::string& first, const std::string& rest, Tree what) {
        return debugFilesOf(folder(
            {{"lib",
              folder({{"debug",
                       folder({{".build-id", folder({{first, folder({{rest, std::move(what)}})}})}})}})}}));
    };
    EXPECT_EQ(of("ab", "cdef.debug", file("")).size(), 1U);
    EXPECT_EQ(of("ab", std::string(2 * kMaxBuildId - 2, '0') + ".debug", file("")).size(), 1U);
    EXPECT_TRUE(of("ab", std::string(2 * kMaxBuildId, '0') + ".debug", file("")).empty());
    EXPECT_TRUE(of("ab", "cd.debug", file("")).empty());
    EXPECT_TRUE(of("ab", "cdef0.debug", file("")).empty()) << "half a byte";
    EXPECT_TRUE(of("AB", "cdef.debug", file("")).empty());
    EXPECT_TRUE(of("ab", "cdEf.debug", file("")).empty());
    EXPECT_TRUE(of("ab", "cdxf.debug", file("")).empty());
    EXPECT_TRUE(of("ab", "cdef.debu", file("")).empty());
    EXPECT_TRUE(of("ab", ".debug", file("")).empty());
    EXPECT_TRUE(of("abc", "cdef.debug", file("")).empty());
    EXPECT_TRUE(of("ab", "cdef.debug", link("x")).empty());
    EXPECT_TRUE(of("ab", "cdef.debug", folder()).empty());
    EXPECT_TRUE(of("ab", "cdef", folder({{"ab.debug", file("")}})).empty());
    EXPECT_TRUE(debugFilesOf(folder({{"debug", folder({{"cdef.debug", file("")}})}})).empty());
}

TEST(NarTee, TellsAllVisitorsAndStopsAtTheFirstError)
{
    struct Stopping final : NarVisitor {
        Result<void> onFileEnd() override { return fail(ErrorCode::Cancelled, "stop"); }
    };
    const std::string archive = *narOf(folder({{"a", file("x")}, {"b", link("a")}, {"c", folder()}}));
    TreeBuilder first;
    TreeBuilder second;
    NarTee tee({&first, &second});
    ASSERT_TRUE(parseNar(archive, tee));
    EXPECT_EQ(first.events(), second.events());
    EXPECT_EQ(first.events().size(), 7U);
    EXPECT_EQ(first.tree(), second.tree());
    Stopping stopping;
    TreeBuilder before;
    TreeBuilder after;
    NarTee stopped({&before, &stopping, &after});
    EXPECT_EQ(parseNar(archive, stopped).error().code, ErrorCode::Cancelled);
    EXPECT_EQ(before.events().back(), "eof");
    EXPECT_NE(after.events().back(), "eof");
}

} // namespace
} // namespace penstock::nix
