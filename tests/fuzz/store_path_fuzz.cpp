// SPDX-License-Identifier: GPL-3.0-or-later
// Laws: a path that parses prints to the same text; a hash that parses survives each of its forms.
#include "tests/fuzz/fuzz_target.h"

#include "shared/base/check.h"
#include "shared/nix/hash.h"
#include "shared/nix/store_path.h"

#include <string_view>

using namespace penstock;
using namespace penstock::nix;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size)
{
    const std::string_view text = textOf(std::as_bytes(std::span(bytes, size)));
    const StoreDir standard = StoreDir::standard();
    if (const auto path = StorePath::parse(standard, text)) {
        PENSTOCK_CHECK(path->print(standard) == text);
        PENSTOCK_CHECK(StorePath::fromBaseName(path->baseName()) == *path);
        PENSTOCK_CHECK(path->digest().size() == 32 && !path->name().empty());
    }
    if (const auto dir = StoreDir::parse(text))
        PENSTOCK_CHECK(dir->text() == text);
    if (const auto hash = Hash::parse(text)) {
        PENSTOCK_CHECK(Hash::parse(hash->sri()) == *hash);
        PENSTOCK_CHECK(Hash::parse(hash->prefixedBase32()) == *hash);
        PENSTOCK_CHECK(Hash::parse(hash->base16(), hash->algorithm()) == *hash);
    }
    return 0;
}
