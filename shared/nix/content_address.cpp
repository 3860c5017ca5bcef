// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nix/content_address.h"

#include <fmt/format.h>

namespace penstock::nix {
namespace {

tl::unexpected<Error> badAddress(std::string_view text, std::string_view why)
{
    std::string shown;
    for (const char c : text.substr(0, 160))
        shown.push_back(c >= ' ' && c <= '~' ? c : '?');
    return fail(ErrorCode::Invalid, fmt::format("content address \"{}\": {}", shown, why));
}

bool take(std::string_view& text, std::string_view prefix)
{
    if (!text.starts_with(prefix))
        return false;
    text.remove_prefix(prefix.size());
    return true;
}

} // namespace

Result<ContentAddress> ContentAddress::parse(std::string_view text)
{
    std::string_view rest = text;
    AddressMethod method = AddressMethod::Text;
    if (take(rest, "fixed:"))
        method = take(rest, "r:") ? AddressMethod::Recursive : AddressMethod::Flat;
    else if (!take(rest, "text:"))
        return badAddress(text, "must begin with text: or fixed:");
    const std::size_t colon = rest.find(':');
    if (colon == std::string_view::npos)
        return badAddress(text, "must end with ALGORITHM:HASH");
    auto algorithm = parseHashAlgorithm(rest.substr(0, colon));
    if (!algorithm)
        return badAddress(text, algorithm.error().message);
    auto hash = Hash::parse(rest.substr(colon + 1), *algorithm);
    if (!hash)
        return badAddress(text, hash.error().message);
    if (method == AddressMethod::Text && hash->algorithm() != HashAlgorithm::Sha256)
        return badAddress(text, "a text is addressed by sha256 only");
    return ContentAddress{method, *hash};
}

std::string ContentAddress::print() const
{
    switch (method) {
    case AddressMethod::Text: return "text:" + hash.prefixedBase32();
    case AddressMethod::Flat: return "fixed:" + hash.prefixedBase32();
    case AddressMethod::Recursive: break;
    }
    return "fixed:r:" + hash.prefixedBase32();
}

Result<StorePath> computeContentPath(const StoreDir& dir, std::string_view name,
                                     const ContentAddress& address, const SourceReferences& references)
{
    if (address.method == AddressMethod::Text) {
        if (references.self)
            return fail(ErrorCode::Invalid,
                        fmt::format("content address of {}: a text cannot refer to itself", name));
        return computeTextPath(dir, name, address.hash, references.others);
    }
    if (address.method == AddressMethod::Recursive && address.hash.algorithm() == HashAlgorithm::Sha256)
        return computeSourcePath(dir, name, address.hash, references);
    if (references.self || !references.others.empty())
        return fail(
            ErrorCode::Invalid,
            fmt::format("content address of {}: {} allows no references; only text and fixed:r:sha256 do",
                        name, address.print()));
    return computeFixedPath(dir, name,
                            address.method == AddressMethod::Flat ? FileMethod::Flat : FileMethod::Recursive,
                            address.hash);
}

} // namespace penstock::nix
