// SPDX-License-Identifier: GPL-3.0-or-later
// checkCache: walks a binary cache and says what is wrong with it: what a client would stumble over. Changes
// nothing. Blocking. Memory: a digest and a few bytes a path.
#pragma once

#include "server/cache/object_store.h"
#include "shared/base/result.h"
#include "shared/nix/signing.h"
#include "shared/nix/store_path.h"

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::cache {

enum class CacheFault : std::uint8_t {
    BadNarInfo,       // cannot be read, or speaks of another path than its name
    MissingNar,       // its file is not there
    WrongFile,        // the file has another size or hash than stated
    WrongNar,         // the NAR has another size or hash than stated, or is none
    MissingReference, // a path it refers to is not in the cache
    BadSignature,     // signed by none of the trusted keys, and not content-addressed
    OrphanNar,        // a file in nar/ that no narinfo names: harmless, of a publication that never ended
};
[[nodiscard]] std::string_view toString(CacheFault fault);
[[nodiscard]] bool isHarmless(CacheFault fault);

struct CacheFinding {
    CacheFault fault;
    std::string key;     // of the narinfo or file
    std::string message; // for people
};

struct CacheCheckOptions {
    nix::StoreDir storeDir = nix::StoreDir::standard();
    std::vector<nix::PublicKey> trusted; // empty: signatures are not looked at
    bool readsNars = false;              // hashes every file and NAR
};

struct CacheCheckSummary {
    std::uint64_t paths = 0;
    std::uint64_t harmful = 0;
    std::uint64_t orphans = 0;
};

// An error is one of the store itself: then nothing is known.
[[nodiscard]] Result<CacheCheckSummary> checkCache(ObjectStore& objects, const CacheCheckOptions& options,
                                                   const std::function<void(const CacheFinding&)>& onFinding);

} // namespace penstock::cache
