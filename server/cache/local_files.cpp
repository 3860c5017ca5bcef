// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/cache/local_files.h"

#include <fmt/format.h>

namespace penstock::cache {
namespace {

constexpr std::string_view kNars = "nar/";

bool isNar(std::string_view key)
{
    return key.starts_with(kNars);
}

bool isBeside(std::string_view key)
{
    return key.starts_with("log/") || key.starts_with("realisations/"); // not what is staged
}

tl::unexpected<Error> nothingAt(std::string_view key)
{
    return fail(ErrorCode::NotFound, fmt::format("the local store has nothing at {}", key));
}

// Empty when the key has none.
std::string_view digestOf(std::string_view key)
{
    key.remove_prefix(kNars.size());
    const bool hasOne = key.size() > nix::kStoreDigestLength && key[nix::kStoreDigestLength] == '-';
    return hasOne ? key.substr(0, nix::kStoreDigestLength) : std::string_view();
}

} // namespace

std::string localNarKey(const nix::NarInfo& info)
{
    return fmt::format("{}{}-{}.nar", kNars, info.path.digest(), info.narHash.base32());
}

Result<std::optional<nix::NarInfo>> LocalFiles::find(std::string_view key)
{
    const std::string_view digest = digestOf(key);
    if (digest.empty())
        return std::nullopt;
    PENSTOCK_TRY(auto info, m_store.findDigest(digest));
    if (!info || info->url != key) // collected, and perhaps built again with another content
        return std::nullopt;
    return info;
}

Result<std::optional<ObjectInfo>> LocalFiles::head(std::string_view key)
{
    if (!isNar(key))
        return isBeside(key) ? m_beside.head(key) : Result<std::optional<ObjectInfo>>();
    PENSTOCK_TRY(const auto info, find(key));
    if (!info)
        return std::nullopt;
    return ObjectInfo{info->narSize, "application/x-nix-nar"};
}

Result<void> LocalFiles::get(std::string_view key, ByteRange range, const ByteSink& sink)
{
    if (!isNar(key))
        return isBeside(key) ? m_beside.get(key, range, sink) : nothingAt(key);
    PENSTOCK_TRY(const auto info, find(key));
    return info ? m_store.readFile(*info, range, sink) : nothingAt(key);
}

Result<std::unique_ptr<ObjectWriter>> LocalFiles::create(std::string_view key, PutOptions)
{
    return fail(ErrorCode::Invalid, fmt::format("{} cannot be put: the local store takes whole store paths", key));
}

Result<void> LocalFiles::remove(std::string_view key)
{
    if (isNar(key))
        m_store.forget(digestOf(key));
    return {};
}

Result<void> LocalFiles::list(std::string_view prefix, const std::function<bool(std::string_view)>& visit)
{
    return isBeside(prefix) ? m_beside.list(prefix, visit) : Result<void>();
}

} // namespace penstock::cache
