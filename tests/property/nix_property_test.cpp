// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nix/base32.h"
#include "shared/nix/drv.h"
#include "shared/nix/hash.h"
#include "shared/nix/json.h"
#include "shared/nix/store_path.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

namespace penstock::nix {
namespace {

const StoreDir kDir = StoreDir::standard();

rc::Gen<std::string> nameGen()
{
    const auto first = rc::gen::elementOf(std::string("abcxyzABC019+_=?"));
    const auto rest = rc::gen::container<std::string>(rc::gen::elementOf(std::string("abzAZ09+-._?=")));
    return rc::gen::map(rc::gen::pair(first, rest), [](const std::pair<char, std::string>& parts) {
        return (std::string(1, parts.first) + parts.second).substr(0, kMaxStoreNameLength - 4);
    });
}

rc::Gen<StorePath> pathGen(const std::string& suffix = "")
{
    const auto digest = rc::gen::container<std::string>(20, rc::gen::arbitrary<char>());
    return rc::gen::map(
        rc::gen::pair(digest, nameGen()), [suffix](const std::pair<std::string, std::string>& parts) {
            return StorePath::fromBaseName(encodeBase32(bytesOf(parts.first)) + "-" + parts.second + suffix)
                .value();
        });
}

// Any bytes, with those that need escaping more often than chance has it.
rc::Gen<std::string> textGen()
{
    return rc::gen::container<std::string>(
        rc::gen::oneOf(rc::gen::arbitrary<char>(), rc::gen::elementOf(std::string("\"\\\n\r\tnrt$"))));
}

rc::Gen<Derivation> derivationGen()
{
    return rc::gen::exec([] {
        Derivation drv;
        drv.name = *nameGen();
        for (const std::string& output :
             *rc::gen::nonEmpty(rc::gen::container<std::set<std::string>>(nameGen())))
            drv.outputs[output].path = *pathGen();
        for (const StorePath& input : *rc::gen::container<std::set<StorePath>>(pathGen(".drv"))) {
            InputNode& node = drv.inputDerivations[input];
            node.outputs = *rc::gen::nonEmpty(rc::gen::container<std::set<std::string>>(textGen()));
            if (*rc::gen::weightedElement<bool>({{5, false}, {1, true}}))
                node.dynamic["gen"].outputs = {"out"};
        }
        drv.inputSources = *rc::gen::container<std::set<StorePath>>(pathGen());
        drv.platform = *textGen();
        drv.builder = *textGen();
        drv.arguments = *rc::gen::container<std::vector<std::string>>(textGen());
        drv.environment = *rc::gen::container<std::map<std::string, std::string>>(textGen(), textGen());
        return drv;
    });
}

RC_GTEST_PROP(Base32, DecodesWhatItEncodes, ())
{
    const auto bytes = *rc::gen::container<std::string>(rc::gen::arbitrary<char>());
    const std::string text = encodeBase32(bytesOf(bytes));
    RC_ASSERT(text.size() == base32Length(bytes.size()));
    RC_ASSERT(decodeBase32(text, bytes.size()) == bytes);
}

RC_GTEST_PROP(Base32, EncodesWhatItDecodes, ())
{
    const std::string text = *rc::gen::container<std::string>(
        32, rc::gen::elementOf(std::string("0123456789abcdfghijklmnpqrsvwxyz")));
    const auto bytes = decodeBase32(text, 20);
    RC_ASSERT(bytes.has_value());
    RC_ASSERT(encodeBase32(bytesOf(*bytes)) == text);
}

RC_GTEST_PROP(Hash, SurvivesEveryForm, (const std::string& content))
{
    for (const HashAlgorithm algorithm :
         {HashAlgorithm::Md5, HashAlgorithm::Sha1, HashAlgorithm::Sha256, HashAlgorithm::Sha512}) {
        const Hash hash = hashOf(content, algorithm);
        for (const std::string& text :
             {hash.base16(), hash.base32(), hash.base64(), hash.sri(), hash.prefixedBase16()})
            RC_ASSERT(Hash::parse(text, algorithm) == hash);
    }
}

RC_GTEST_PROP(StorePath, ParsesWhatItPrints, ())
{
    const StorePath path = *pathGen();
    RC_ASSERT(StorePath::parse(kDir, path.print(kDir)) == path);
}

RC_GTEST_PROP(StorePath, NeverMakesAnInvalidOne, (const std::string& junk))
{
    const auto path = StorePath::fromBaseName("3ghsl9sd83mc26i81adpa2fzf3yw4f68-" + junk);
    if (path)
        RC_ASSERT(path->name() == junk && checkStoreName(junk).has_value());
}

RC_GTEST_PROP(Derivation, ParsesWhatItPrints, ())
{
    const Derivation drv = *derivationGen();
    const std::string text = printDerivation(kDir, drv);
    const auto parsed = parseDerivation(kDir, drv.name, text);
    RC_ASSERT(parsed.has_value());
    RC_ASSERT(*parsed == drv);
}

RC_GTEST_PROP(Derivation, NeverAcceptsAnotherSpellingOfTheSame, ())
{
    const Derivation drv = *derivationGen();
    std::string text = printDerivation(kDir, drv);
    const auto at = *rc::gen::inRange<std::size_t>(0, text.size());
    text.insert(at, 1, *rc::gen::elementOf(std::string(" \\\n,")));
    const auto parsed = parseDerivation(kDir, drv.name, text);
    if (parsed)
        RC_ASSERT(!(*parsed == drv));
}

RC_GTEST_PROP(Json, NeverFailsBadlyOnAnyText, ())
{
    const std::string text =
        *rc::gen::container<std::string>(rc::gen::elementOf(std::string("{}[]\":,\\u0d8 1e-truefalsn")));
    static_cast<void>(parseJson(text));
}

} // namespace
} // namespace penstock::nix
