// SPDX-License-Identifier: GPL-3.0-or-later
// What a build's rows say of outputs that are in the store already: sizes, and what they say of themselves in
// nix-support. Read from narinfos and NARs (a listing without nix-support spares the NAR). Blocking. NotFound: an
// output, or something it refers to, is not there after all; Corrupt: a NAR is damaged.
#pragma once

#include "server/cache/output_store.h"
#include "server/hydra/cached_results.h"
#include "server/work/spec.h"
#include "shared/base/cancel.h"
#include "shared/base/result.h"

#include <span>

namespace penstock::hydra {

[[nodiscard]] Result<ComputedResult> computeResult(cache::OutputStore& store, std::span<const work::NixOutput> outputs,
                                                   const CancelToken& stop);

} // namespace penstock::hydra
