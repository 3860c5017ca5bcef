// SPDX-License-Identifier: GPL-3.0-or-later
// Laws: the first byte says which file the rest is. Whatever it holds, what comes out keeps every promise of
// the header: bounded, valid UTF-8, of the characters named, below a store path without "..".
#include "tests/fuzz/fuzz_target.h"

#include "shared/base/check.h"
#include "shared/base/text.h"
#include "shared/nix/nix_support.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>

using namespace penstock;
using namespace penstock::nix;

namespace {

bool isPlain(std::string_view path)
{
    const auto parts = split(path, '/');
    return isUtf8(path) && path.size() <= kMaxProductPath &&
           std::none_of(parts.begin(), parts.end(),
                        [](std::string_view part) { return part.empty() || part == "." || part == ".."; }) &&
           std::none_of(path.begin(), path.end(),
                        [](char c) { return static_cast<unsigned char>(c) < 0x20; });
}
bool isWord(std::string_view word, std::string_view others)
{
    return word.size() <= kMaxSupportWord && std::all_of(word.begin(), word.end(), [others](char c) {
               return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                      others.find(c) != std::string_view::npos;
           });
}

void checkProducts(const NixSupport& support)
{
    PENSTOCK_CHECK(support.products.size() <= kMaxProducts);
    for (const BuildProduct& product : support.products) {
        PENSTOCK_CHECK(!product.type.empty() && isWord(product.type, "_-"));
        PENSTOCK_CHECK(isWord(product.subtype, "_-"));
        PENSTOCK_CHECK(isPlain(product.relativePath) && isPlain(product.defaultPath));
        PENSTOCK_CHECK(isWord(product.name, ".@:_ +-"));
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size)
{
    const std::string_view text = textOf(std::as_bytes(std::span(bytes, size)));
    if (text.empty())
        return 0;
    const auto path = StorePath::fromBaseName("3312kys3knjskf490h2cq02gy5ydsrn5-hello");
    SupportFiles files;
    files.isDirectory = true;
    const std::string rest(text.substr(1));
    if (text[0] == 'p') {
        files.hasProducts = true;
        files.products = rest;
    } else if (text[0] == 'm') {
        files.metrics = rest;
    } else {
        files.releaseName = rest;
    }
    NixSupport support = mergeSupport(StoreDir::standard(), {{"out", *path, files}});
    checkProducts(support);
    PENSTOCK_CHECK(support.metrics.size() <= kMaxMetrics);
    for (const auto& [name, metric] : support.metrics)
        PENSTOCK_CHECK(!name.empty() && isWord(name, "._-") && std::isfinite(metric.value) &&
                       isWord(metric.unit, "._%-"));
    PENSTOCK_CHECK(!support.releaseName ||
                   (!support.releaseName->empty() && isWord(*support.releaseName, ".@:_-")));
    dropUnseen(support);
    PENSTOCK_CHECK(support.notes.texts().size() <= kMaxSupportNotes);
    for (const std::string& note : support.notes.texts())
        PENSTOCK_CHECK(isUtf8(note) && note.size() < 500);
    PENSTOCK_CHECK(files.hasProducts ? support.products.empty() : support.products.size() == 1);
    return 0;
}
