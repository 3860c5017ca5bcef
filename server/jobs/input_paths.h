// SPDX-License-Identifier: GPL-3.0-or-later
// What a derivation needs in its builder's store: its sources, and of each input derivation the outputs that it asks
// for. Pure, any thread. Errors are Invalid and Exhausted; each names the derivation.
#pragma once

#include "server/work/spec.h"
#include "shared/base/result.h"
#include "shared/nix/drv.h"

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace penstock::jobs {

inline constexpr std::size_t kMaxInputPaths = 100'000; // of one step

// The outputs of an input derivation, with their paths where those are known; valid until the next call.
using OutputsOf = std::function<Result<const std::vector<work::NixOutput>*>(const nix::StorePath&)>;

// As the derivation's own text states them.
[[nodiscard]] std::vector<work::NixOutput> statedOutputs(const nix::StoreDir& dir, const nix::Derivation& drv);

// Full paths, sorted. What only the build of an input can tell is left out: the core passes it on.
[[nodiscard]] Result<std::vector<std::string>> inputPaths(const nix::StoreDir& dir, const nix::StorePath& drvPath,
                                                          const nix::Derivation& drv, const OutputsOf& outputsOf);

} // namespace penstock::jobs
