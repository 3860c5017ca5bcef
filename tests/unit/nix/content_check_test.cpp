// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nix/content_address.h"
#include "tests/support/golden.h"
#include "tests/support/nar_tree.h"
#include "tests/unit/nix/cache_vectors.h"

#include <gtest/gtest.h>

namespace penstock::nix {
namespace {

const StoreDir kDir = StoreDir::standard();

StorePath path(std::string_view baseName)
{
    return StorePath::fromBaseName(baseName).value();
}

struct Case {
    StorePath at;
    ContentAddress address;
    std::string nar;
    StorePathSet references = {};
};

Result<void> check(const Case& given, std::size_t piece = 1U << 20U)
{
    PENSTOCK_TRY(ContentCheck content, ContentCheck::begin(kDir, given.at, given.address, given.references));
    for (std::string_view rest = given.nar; !rest.empty(); rest.remove_prefix(std::min(piece, rest.size())))
        PENSTOCK_TRY_VOID(content.push(rest.substr(0, piece)));
    return content.finish();
}

std::string nar(const std::string& name)
{
    return test::fromHex(penstock::test::readGolden("nix/nar/" + name + ".nar.hex"));
}

// What Nix made (paths.tsv, paths-self.tsv), with the content it was made from.
std::vector<Case> vectors()
{
    std::vector<Case> all;
    const auto add = [&all](const std::vector<std::vector<std::string>>& rows, std::string_view kind,
                            std::string_view name, const std::string& archive, StorePathSet references = {}) {
        for (const auto& row : rows) {
            if (row[0] != kind || row[1] != name)
                continue;
            const std::size_t begin = row[3].find(R"("ca":")") + 6;
            const std::string address = row[3].substr(begin, row[3].find('"', begin) - begin);
            all.push_back({StorePath::parse(kDir, row[2]).value(), ContentAddress::parse(address).value(),
                           archive, std::move(references)});
            return;
        }
        ADD_FAILURE() << "no vector " << kind << " " << name;
    };
    const auto rows = penstock::test::readGoldenTable("nix/paths.tsv");
    add(rows, "text", "plain.txt", test::narOf(test::file("plain text\n")).value());
    add(rows, "text-with-references", "refs.txt",
        test::narOf(test::file("see /nix/store/sx5305c45zn199v0gv0x7vnh3z9q658x-b.txt and "
                               "/nix/store/z2gxprmwxdfyrb4rka1629bvxxa429ga-a.txt\n"))
            .value(),
        {path("sx5305c45zn199v0gv0x7vnh3z9q658x-b.txt"), path("z2gxprmwxdfyrb4rka1629bvxxa429ga-a.txt")});
    add(rows, "source", "tree", nar("tree"));
    add(rows, "source", "file", nar("file"));
    add(rows, "flat-sha256", "file", nar("file"));
    add(rows, "flat-sha512", "file", nar("file"));
    add(rows, "recursive-sha1", "tree", nar("tree"));
    add(rows, "recursive-md5", "tree", nar("tree"));
    const StorePath self = path("z9vxwsx632z7za1n2vdd5r6cjbcgps8k-self-ref");
    add(penstock::test::readGoldenTable("nix/paths-self.tsv"), "source-with-self", "self-ref",
        test::narOf(test::file(penstock::test::readGolden("nix/self-ref.contents"))).value(), {self});
    return all;
}

TEST(ContentCheck, AgreesWithNixOnEveryKind)
{
    for (const Case& given : vectors())
        for (const std::size_t piece : {std::size_t{1}, std::size_t{33}, std::size_t{1'000'000}}) {
            const auto checked = check(given, piece);
            EXPECT_TRUE(checked) << given.address.print() << ": " << checked.error().message;
        }
}

TEST(ContentCheck, NoticesOtherContent)
{
    for (const Case& given : vectors()) {
        for (std::size_t at = 0; at < given.nar.size(); at += 5) {
            Case changed = given;
            changed.nar[at] = static_cast<char>(changed.nar[at] ^ 1);
            const auto checked = check(changed);
            ASSERT_FALSE(checked) << given.address.print() << " at " << at;
            EXPECT_NE(checked.error().code, ErrorCode::Invalid) << checked.error().message;
            EXPECT_NE(checked.error().message.find(given.at.baseName()), std::string::npos);
        }
        Case cut = given;
        cut.nar.pop_back();
        EXPECT_EQ(check(cut).error().code, ErrorCode::Corrupt) << given.address.print();
        Case longer = given;
        longer.nar.push_back('\0');
        EXPECT_EQ(check(longer).error().code, ErrorCode::Corrupt) << given.address.print();
    }
}

TEST(ContentCheck, NoticesAnotherNameAddressOrReferenceBeforeAnyContent)
{
    const StorePath other = path("3312kys3knjskf490h2cq02gy5ydsrn5-debug");
    for (const Case& given : vectors()) {
        const auto begin = [&](const StorePath& at, const ContentAddress& address,
                               const StorePathSet& references) {
            return ContentCheck::begin(kDir, at, address, references).has_value();
        };
        StorePathSet more = given.references;
        more.insert(other);
        StorePathSet self = given.references;
        if (self.erase(given.at) == 0)
            self.insert(given.at);
        EXPECT_TRUE(begin(given.at, given.address, given.references));
        EXPECT_FALSE(begin(given.at, given.address, more)) << "a reference that is not in the path";
        EXPECT_FALSE(begin(given.at, given.address, self)) << "with or without itself";
        EXPECT_FALSE(begin(path(given.at.baseName() + "x"), given.address, given.references));
        EXPECT_FALSE(begin(given.at, {given.address.method, hashOf("x")}, given.references));
        EXPECT_EQ(
            ContentCheck::begin(StoreDir::parse("/other").value(), given.at, given.address, given.references)
                .error()
                .code,
            ErrorCode::Corrupt);
    }
}

TEST(ContentCheck, TakesNoTreeOrProgramForAFlatFile)
{
    const std::string content = "#!/bin/sh\nexit 0\n";
    const ContentAddress flat{AddressMethod::Flat, hashOf(content)};
    const StorePath at = computeContentPath(kDir, "x", flat, {}).value();
    EXPECT_TRUE(check({at, flat, test::narOf(test::file(content)).value()}));
    // The path says nothing of the mode, so a peer could otherwise choose it.
    const auto program = check({at, flat, test::narOf(test::file(content, true)).value()});
    ASSERT_FALSE(program);
    EXPECT_EQ(program.error().code, ErrorCode::Corrupt);
    EXPECT_NE(program.error().message.find("is executable"), std::string::npos) << program.error().message;
    EXPECT_FALSE(check({at, flat, test::narOf(test::link(content)).value()}));
    EXPECT_FALSE(check({at, flat, test::narOf(test::folder({{"x", test::file(content)}})).value()}));
}

// A path that mentions itself, made without Nix: the hash is of the text with zeros, then the offsets.
Case selfReferring(const std::string& before, const std::string& between, int count)
{
    const std::string mark(kStoreDigestLength, '\1');
    const auto content = [&](const std::string& digest) {
        std::string text = before;
        for (int i = 0; i < count; ++i)
            text += digest + between;
        return test::narOf(test::file(text)).value();
    };
    std::string zeroed = content(mark);
    std::string offsets;
    for (std::size_t at = zeroed.find(mark); at != std::string::npos; at = zeroed.find(mark)) {
        zeroed.replace(at, mark.size(), mark.size(), '\0');
        offsets += "|" + std::to_string(at);
    }
    const ContentAddress address{AddressMethod::Recursive, hashOf(zeroed + offsets)};
    const StorePath at = computeContentPath(kDir, "self", address, {{}, true}).value();
    return {at, address, content(std::string(at.digest())), {at}};
}

TEST(ContentCheck, FindsMentionsAcrossPiecesOfAnySize)
{
    for (const Case& given :
         {selfReferring("a", "", 3), selfReferring("", "b", 200), selfReferring("x", "y", 0),
          selfReferring(std::string(100, 'z'), std::string(31, '0'), 5)})
        for (std::size_t piece = 1; piece < 70; ++piece) {
            const auto checked = check(given, piece);
            ASSERT_TRUE(checked) << piece << ": " << checked.error().message;
        }
}

TEST(ContentCheck, StaysFailedAndEndsOnce)
{
    const Case given = vectors().front();
    auto content = ContentCheck::begin(kDir, given.at, given.address, {}).value();
    ASSERT_FALSE(content.push("this is no archive at all"));
    EXPECT_EQ(content.push(given.nar).error().code, ErrorCode::Corrupt);
    EXPECT_EQ(content.finish().error().code, ErrorCode::Corrupt);

    auto whole = ContentCheck::begin(kDir, given.at, given.address, {}).value();
    ASSERT_TRUE(whole.push(given.nar));
    ContentCheck moved = std::move(whole);
    EXPECT_TRUE(moved.finish());
    EXPECT_EQ(moved.finish().error().code, ErrorCode::Invalid);
}

} // namespace
} // namespace penstock::nix
