// SPDX-License-Identifier: GPL-3.0-or-later
// The small texts of a binary cache: narinfo, lists of them, nix-cache-info, realisations, keys, content
// addresses. Laws: what parses prints to a text that parses to the same, and a change of spelling does not
// change what is signed.
#include "tests/fuzz/fuzz_target.h"

#include "shared/base/check.h"
#include "shared/nix/cache_info.h"
#include "shared/nix/content_address.h"
#include "shared/nix/narinfo.h"
#include "shared/nix/realisation.h"
#include "shared/nix/signing.h"

#include <string_view>

using namespace penstock;
using namespace penstock::nix;

namespace {

void checkNarInfos(const StoreDir& dir, std::string_view text, NarInfoKind kind)
{
    if (const auto info = parseNarInfo(dir, text, kind)) {
        const auto again = parseNarInfo(dir, printNarInfo(dir, *info), kind);
        PENSTOCK_CHECK(again.has_value() && *again == *info);
        PENSTOCK_CHECK(fingerprint(dir, *again) == fingerprint(dir, *info));
        PENSTOCK_CHECK(info->narSize > 0 && info->signatures.size() <= kMaxSignatures);
        if (const auto address = ContentAddress::parse(info->contentAddress))
            static_cast<void>(ContentCheck::begin(dir, info->path, *address, info->references));
    }
    if (const auto infos = parseNarInfos(dir, text, kind)) {
        const auto again = parseNarInfos(dir, printNarInfos(dir, *infos), kind);
        PENSTOCK_CHECK(again.has_value() && *again == *infos);
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size)
{
    const std::string_view text = textOf(std::as_bytes(std::span(bytes, size)));
    const StoreDir dir = StoreDir::standard();
    checkNarInfos(dir, text, NarInfoKind::WithFile);
    checkNarInfos(dir, text, NarInfoKind::WithoutFile);
    if (const auto info = parseCacheInfo(text))
        PENSTOCK_CHECK(parseCacheInfo(printCacheInfo(*info)) == *info);
    if (const auto realisation = parseRealisation(text))
        PENSTOCK_CHECK(parseRealisation(printRealisation(*realisation)) == *realisation);
    if (const auto address = ContentAddress::parse(text))
        PENSTOCK_CHECK(ContentAddress::parse(address->print()) == *address);
    if (const auto key = PublicKey::parse(text)) {
        PENSTOCK_CHECK(PublicKey::parse(key->print())->print() == key->print());
        static_cast<void>(key->verifies(text, text));
    }
    if (const auto key = SecretKey::parse(text))
        PENSTOCK_CHECK(key->publicKey().verifies(key->sign(text), text));
    return 0;
}
