// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nix/base32.h"
#include "shared/nix/cache_info.h"
#include "shared/nix/content_address.h"
#include "shared/nix/narinfo.h"
#include "shared/nix/realisation.h"
#include "shared/nix/signing.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

namespace penstock::nix {
namespace {

const StoreDir kDir = StoreDir::standard();

rc::Gen<StorePath> pathGen(const std::string& suffix = "")
{
    const auto digest = rc::gen::container<std::string>(20, rc::gen::arbitrary<char>());
    const auto name =
        rc::gen::nonEmpty(rc::gen::container<std::string>(rc::gen::elementOf(std::string("abzAZ09+-_?="))));
    return rc::gen::map(rc::gen::pair(digest, name),
                        [suffix](const std::pair<std::string, std::string>& parts) {
                            return StorePath::fromBaseName(encodeBase32(bytesOf(parts.first)) + "-" +
                                                           parts.second.substr(0, 200) + suffix)
                                .value();
                        });
}

rc::Gen<Hash> hashGen(HashAlgorithm algorithm = HashAlgorithm::Sha256)
{
    return rc::gen::map(rc::gen::arbitrary<std::string>(),
                        [algorithm](const std::string& text) { return hashOf(text, algorithm); });
}

// A value of a line: anything visible, spaces within.
rc::Gen<std::string> wordGen()
{
    return rc::gen::map(rc::gen::container<std::string>(rc::gen::inRange<char>(' ', '~')),
                        [](const std::string& text) { return "x" + text; });
}

NarInfo anyNarInfo(NarInfoKind kind)
{
    NarInfo info{*pathGen(),
                 "",
                 "",
                 std::nullopt,
                 std::nullopt,
                 *hashGen(),
                 *rc::gen::inRange<std::uint64_t>(1, UINT64_MAX),
                 *rc::gen::container<StorePathSet>(pathGen()),
                 std::nullopt,
                 *rc::gen::element<std::string>("", "x86_64-linux"),
                 *rc::gen::resize(20, rc::gen::container<std::vector<std::string>>(wordGen())),
                 *rc::gen::element<std::string>("", "fixed:r:sha256:x")};
    if (kind == NarInfoKind::WithFile) {
        info.url = *wordGen();
        info.compression = *rc::gen::element<std::string>("none", "xz", "lz4", "new");
    }
    if (*rc::gen::arbitrary<bool>()) {
        info.fileHash = *hashGen(*rc::gen::element(HashAlgorithm::Sha256, HashAlgorithm::Sha512));
        info.fileSize = *rc::gen::arbitrary<std::uint64_t>();
    }
    if (*rc::gen::arbitrary<bool>())
        info.deriver = *pathGen(".drv");
    if (*rc::gen::arbitrary<bool>())
        info.references.insert(info.path);
    return info;
}

RC_GTEST_PROP(NarInfo, ParsesWhatItPrints, ())
{
    const NarInfoKind kind = *rc::gen::element(NarInfoKind::WithFile, NarInfoKind::WithoutFile);
    const NarInfo info = anyNarInfo(kind);
    const auto parsed = parseNarInfo(kDir, printNarInfo(kDir, info), kind);
    RC_ASSERT(parsed.has_value());
    RC_ASSERT((*parsed == info));
}

RC_GTEST_PROP(NarInfo, ListsParseAsTheyPrint, ())
{
    std::vector<NarInfo> infos;
    for (int left = *rc::gen::inRange(0, 6); left > 0; --left)
        infos.push_back(anyNarInfo(NarInfoKind::WithoutFile));
    const auto parsed = parseNarInfos(kDir, printNarInfos(kDir, infos), NarInfoKind::WithoutFile);
    RC_ASSERT(parsed.has_value());
    RC_ASSERT((*parsed == infos));
}

RC_GTEST_PROP(NarInfo, FingerprintCoversWhatIsTrusted, ())
{
    const NarInfo info = anyNarInfo(NarInfoKind::WithFile);
    NarInfo changed = info;
    switch (*rc::gen::inRange(0, 4)) {
    case 0: changed.path = *pathGen(); break;
    case 1: changed.narHash = *hashGen(); break;
    case 2: changed.narSize = *rc::gen::inRange<std::uint64_t>(1, UINT64_MAX); break;
    default: changed.references.insert(*pathGen()); break;
    }
    RC_ASSERT((changed == info) == (fingerprint(kDir, changed) == fingerprint(kDir, info)));
}

RC_GTEST_PROP(NarInfo, AnyTextIsReadWithoutHarm, ())
{
    std::string text = printNarInfo(kDir, anyNarInfo(NarInfoKind::WithFile));
    const auto at = *rc::gen::inRange<std::size_t>(0, text.size());
    text[at] = *rc::gen::arbitrary<char>();
    const auto parsed = parseNarInfo(kDir, text);
    if (parsed)
        RC_ASSERT((parseNarInfo(kDir, printNarInfo(kDir, *parsed)) == parsed));
}

RC_GTEST_PROP(ContentAddress, ParsesWhatItPrints, ())
{
    const HashAlgorithm algorithm = *rc::gen::element(HashAlgorithm::Md5, HashAlgorithm::Sha1,
                                                      HashAlgorithm::Sha256, HashAlgorithm::Sha512);
    AddressMethod method = *rc::gen::element(AddressMethod::Flat, AddressMethod::Recursive);
    if (algorithm == HashAlgorithm::Sha256 && *rc::gen::arbitrary<bool>())
        method = AddressMethod::Text;
    const ContentAddress address{method, *hashGen(algorithm)};
    RC_ASSERT((ContentAddress::parse(address.print()) == address));
}

RC_GTEST_PROP(Realisation, ParsesWhatItPrints, ())
{
    const auto anyId = [] {
        return RealisationId{*hashGen(), *rc::gen::element<std::string>("out", "dev", "a.b")};
    };
    Realisation realisation{anyId(), *pathGen(), {}, {}};
    for (int left = *rc::gen::inRange(0, 5); left > 0; --left) {
        realisation.dependencies.emplace(anyId(), *pathGen());
        realisation.signatures.insert(
            *rc::gen::nonEmpty(rc::gen::container<std::string>(rc::gen::inRange<char>('!', '~'))));
    }
    RC_ASSERT((parseRealisation(printRealisation(realisation)) == realisation));
    RC_ASSERT((parseRealisationKey(realisationKey(realisation.id)) == realisation.id));
}

RC_GTEST_PROP(Signing, VerifiesWhatItSignsAndNothingElse,
              (const std::string& message, const std::string& other))
{
    const std::string seed = *rc::gen::container<std::string>(32, rc::gen::arbitrary<char>());
    const SecretKey key = SecretKey::fromSeed("key-1", bytesOf(seed)).value();
    const PublicKey verifier = PublicKey::parse(key.publicKey().print()).value();
    std::string signature = SecretKey::parse(key.print()).value().sign(message);
    RC_ASSERT(verifier.verifies(signature, message));
    RC_ASSERT((verifier.verifies(signature, other) == (message == other)));
    const auto at = *rc::gen::inRange<std::size_t>(0, signature.size());
    const char before = signature[at];
    signature[at] = *rc::gen::arbitrary<char>();
    RC_ASSERT((verifier.verifies(signature, message) == (signature[at] == before)));
}

RC_GTEST_PROP(CacheInfo, ParsesWhatItPrints, ())
{
    CacheInfo info;
    info.wantMassQuery = *rc::gen::arbitrary<bool>();
    if (*rc::gen::arbitrary<bool>())
        info.priority = *rc::gen::arbitrary<std::int64_t>();
    if (*rc::gen::arbitrary<bool>())
        info.storeDir = kDir;
    RC_ASSERT((parseCacheInfo(printCacheInfo(info)) == info));
}

} // namespace
} // namespace penstock::nix
