// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nix/cache_info.h"

#include "shared/base/text.h"

#include <utility>

#include <fmt/format.h>

namespace penstock::nix {

Result<CacheInfo> parseCacheInfo(std::string_view text)
{
    if (text.size() > kMaxCacheInfoBytes)
        return fail(ErrorCode::Exhausted, fmt::format("nix-cache-info: has {} bytes; at most {} are read",
                                                      text.size(), kMaxCacheInfoBytes));
    CacheInfo info;
    for (const std::string_view line : split(text, '\n')) {
        const std::size_t colon = line.find(':');
        if (colon == std::string_view::npos)
            continue;
        const std::string_view key = line.substr(0, colon);
        const std::string_view value = trim(line.substr(colon + 1));
        if (key == "StoreDir") {
            auto dir = StoreDir::parse(value);
            if (!dir)
                return fail(std::move(dir.error()).in("nix-cache-info: StoreDir"));
            info.storeDir = *std::move(dir);
        } else if (key == "WantMassQuery") {
            info.wantMassQuery = value == "1";
        } else if (key == "Priority") {
            auto priority = parseSigned(value);
            if (!priority)
                return fail(std::move(priority.error()).in("nix-cache-info: Priority"));
            info.priority = *priority;
        }
    }
    return info;
}

std::string printCacheInfo(const CacheInfo& info)
{
    std::string out;
    if (info.storeDir)
        out += fmt::format("StoreDir: {}\n", info.storeDir->text());
    if (info.wantMassQuery)
        out += "WantMassQuery: 1\n";
    if (info.priority)
        out += fmt::format("Priority: {}\n", *info.priority);
    return out;
}

} // namespace penstock::nix
