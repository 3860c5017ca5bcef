// SPDX-License-Identifier: GPL-3.0-or-later
// copyClosure: brings paths and everything they refer to from one store to another, references first, only
// what is missing there. May be repeated after any failure. Blocking. Errors: those of the stores; NotFound
// names a path that the source does not have either.
#pragma once

#include "server/cache/output_store.h"
#include "shared/base/cancel.h"
#include "shared/base/result.h"
#include "shared/nix/store_path.h"

#include <cstddef>
#include <string>

namespace penstock::cache {

inline constexpr std::size_t kMaxCopiedPaths = 1'000'000; // of one call

struct CopyResult {
    std::size_t paths = 0;   // that were missing
    std::uint64_t bytes = 0; // of their files
};
[[nodiscard]] Result<CopyResult> copyClosure(OutputStore& from, OutputStore& to,
                                             const nix::StorePathSet& paths, const CancelToken& cancel = {});
// The log of a derivation, when the source has one.
[[nodiscard]] Result<void> copyLog(OutputStore& from, OutputStore& to, const std::string& drvBaseName);

} // namespace penstock::cache
