// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/base/text.h"
#include "shared/nix/json.h"
#include "shared/nix/listing.h"
#include "shared/nix/nar.h"
#include "shared/nix/references.h"
#include "tests/support/nar_tree.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

namespace penstock::nix {
namespace {

using namespace test;

rc::Gen<std::string> bytesGen()
{
    return rc::gen::container<std::string>(rc::gen::arbitrary<char>());
}

rc::Gen<std::string> nameGen()
{
    const auto isName = [](const std::string& name) {
        return !name.empty() && name != "." && name != ".." && name.size() <= kMaxNarName &&
               name.find('/') == std::string::npos && name.find('\0') == std::string::npos;
    };
    return rc::gen::suchThat(rc::gen::oneOf(bytesGen(), rc::gen::container<std::string>(
                                                            rc::gen::elementOf(std::string("ab.-Z\xc3")))),
                             isName);
}

Tree anyTree(unsigned depth)
{
    const int kind = *rc::gen::weightedElement<int>({{1, 0}, {1, 1}, {depth == 0 ? 0U : 3U, 2}});
    if (kind == 0)
        return file(*bytesGen(), *rc::gen::arbitrary<bool>());
    if (kind == 1)
        return link("t" + *rc::gen::container<std::string>(rc::gen::nonZero<char>()));
    std::map<std::string, Tree> entries;
    const int count = *rc::gen::weightedElement<int>({{1, 0}, {1, 1}, {1, 2}, {1, 3}, {1, 6}});
    for (int i = 0; i < count; ++i)
        entries.emplace(*nameGen(), anyTree(depth - 1));
    return folder(std::move(entries));
}

rc::Gen<Tree> treeGen()
{
    return rc::gen::exec([] { return anyTree(4); });
}

// Cut at random places.
std::vector<std::string> piecesOf(const std::string& bytes)
{
    std::vector<std::string> pieces;
    for (std::size_t at = 0; at < bytes.size();) {
        const std::size_t length = *rc::gen::weightedOneOf<std::size_t>(
            {{3, rc::gen::inRange<std::size_t>(1, 20)}, {1, rc::gen::inRange<std::size_t>(1, 300)}});
        pieces.push_back(bytes.substr(at, length));
        at += length;
    }
    pieces.emplace_back(); // nothing is a piece too
    return pieces;
}

RC_GTEST_PROP(NarProperty, ParsesWhatItWritesWhateverThePieces, ())
{
    const Tree tree = *treeGen();
    RC_CLASSIFY(tree.kind == Tree::Kind::Directory, "directory");
    const auto archive = narOf(tree);
    RC_CLASSIFY(archive && archive->size() > 1000, "large");
    RC_ASSERT(archive.has_value());
    RC_ASSERT(archive->size() % 8 == 0U);
    TreeBuilder builder;
    NarParser parser(builder);
    for (const std::string& piece : piecesOf(*archive))
        RC_ASSERT(parser.push(piece).value() == piece.size());
    RC_ASSERT(parser.finish().has_value());
    RC_ASSERT(builder.tree() == tree);
    RC_ASSERT(narOf(builder.tree()).value() == *archive);
}

RC_GTEST_PROP(NarProperty, HasOneFormOnly, ())
{
    std::string archive = narOf(*treeGen()).value();
    const auto at = *rc::gen::inRange<std::size_t>(0, archive.size());
    archive[at] = static_cast<char>(archive[at] ^ *rc::gen::inRange(1, 128));
    TreeBuilder builder;
    if (parseNar(archive, builder))
        RC_ASSERT(narOf(builder.tree()).value() == archive); // another tree, never another form of the same
}

RC_GTEST_PROP(NarProperty, NeverFailsBadlyOnGarbage, ())
{
    std::string archive = narOf(*treeGen()).value();
    const auto at = *rc::gen::inRange<std::size_t>(0, archive.size() + 1);
    archive.insert(at, *bytesGen());
    TreeBuilder builder;
    NarParser parser(builder, {1U << 20U, 1000});
    for (const std::string& piece : piecesOf(archive))
        if (!parser.push(piece))
            break;
    RC_ASSERT(parser.byteCount() <= archive.size());
}

// What the listing says of each file is where the archive has it.
void checkEntry(const JsonValue& node, const Tree& tree, const std::string& archive)
{
    const std::string& type = *node.member("type")->asString();
    if (tree.kind == Tree::Kind::Directory) {
        RC_ASSERT(type == "directory");
        const JsonValue::Object& entries = *node.member("entries")->asObject();
        RC_ASSERT(entries.size() == tree.entries.size());
        for (const auto& [name, child] : entries)
            checkEntry(child, tree.entries.at(name), archive);
    } else if (tree.kind == Tree::Kind::Symlink) {
        RC_ASSERT(*node.member("target")->asString() == tree.text);
    } else {
        RC_ASSERT(node.member("size")->asNumber()->text == std::to_string(tree.text.size()));
        RC_ASSERT((node.member("executable") != nullptr) == tree.isExecutable);
        const auto stated = parseUnsigned(node.member("narOffset")->asNumber()->text);
        RC_ASSERT(stated.has_value());
        RC_ASSERT(archive.substr(*stated - 8, 8) == number(tree.text.size()));
        RC_ASSERT(archive.substr(*stated, tree.text.size()) == tree.text);
    }
}

RC_GTEST_PROP(ListingProperty, SaysWhereEveryFileIs, ())
{
    const Tree tree = *treeGen();
    const std::string archive = narOf(tree).value();
    ListingBuilder builder;
    RC_ASSERT(parseNar(archive, builder).has_value());
    const auto listing = std::move(builder).finish();
    if (!listing)
        return; // a name that is not UTF-8
    const auto json = parseJson(*listing);
    RC_ASSERT(json.has_value());
    checkEntry(*json->member("root"), tree, archive);
}

RC_GTEST_PROP(ReferencesProperty, FindsWhatAPlainSearchFinds, ())
{
    const auto digestGen = rc::gen::container<std::string>(32, rc::gen::elementOf(std::string("01z")));
    const auto digests = *rc::gen::container<std::set<std::string>>(digestGen);
    // Long runs of the alphabet, with digests and their beginnings among them.
    std::string text;
    const int parts = *rc::gen::inRange(0, 12);
    for (int i = 0; i < parts; ++i) {
        text += *rc::gen::container<std::string>(rc::gen::elementOf(std::string("01zzz\nE")));
        if (!digests.empty())
            text += (*rc::gen::elementOf(digests))
                        .substr(0, *rc::gen::weightedElement<std::size_t>({{3, 32}, {1, 31}}));
    }
    ReferenceScanner scanner(digests);
    for (const std::string& piece : piecesOf(text))
        scanner.push(piece);
    std::set<std::string> expected;
    for (const std::string& digest : digests)
        if (text.find(digest) != std::string::npos)
            expected.insert(digest);
    RC_ASSERT(scanner.found() == expected);
}

} // namespace
} // namespace penstock::nix
