// SPDX-License-Identifier: GPL-3.0-or-later
// Closure: everything that paths need at run time, as far as a store has it, references before referrers. Blocking.
#pragma once

#include "server/cache/output_store.h"
#include "server/transfer/info_memo.h"

#include <cstddef>
#include <functional>

namespace penstock::transfer {

inline constexpr std::size_t kMaxClosurePaths = 500'000;

// Visits each path once. A path that the store does not have is left out, and nothing else. An error of the store (not
// known whether it is there) ends the walk; Exhausted above the limit.
[[nodiscard]] Result<void> walkClosure(cache::OutputStore& store, InfoMemo& memo, const nix::StorePathSet& roots,
                                       const std::function<Result<void>(const nix::NarInfo&)>& visit,
                                       std::size_t maxPaths = kMaxClosurePaths);

} // namespace penstock::transfer
