// SPDX-License-Identifier: GPL-3.0-or-later
// CacheInfo: the file nix-cache-info at the root of a binary cache (nix-formats 4.2). Pure. Errors: Invalid
// with the key and value, Exhausted above the limit. Unknown keys and lines without a colon are passed over,
// as Nix does.
#pragma once

#include "shared/base/result.h"
#include "shared/nix/store_path.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace penstock::nix {

inline constexpr std::size_t kMaxCacheInfoBytes = 64U << 10U;

struct CacheInfo {
    std::optional<StoreDir> storeDir;     // none: not said; else the reader's must be the same
    bool wantMassQuery = false;           // may be asked about many paths
    std::optional<std::int64_t> priority; // lower is asked first; none: not said, which counts as 0

    friend bool operator==(const CacheInfo&, const CacheInfo&) = default;
};

[[nodiscard]] Result<CacheInfo> parseCacheInfo(std::string_view text);
[[nodiscard]] std::string printCacheInfo(const CacheInfo& info);

} // namespace penstock::nix
