// SPDX-License-Identifier: GPL-3.0-or-later
// The order in which paths may become visible. Pure.
#pragma once

#include "shared/base/result.h"
#include "shared/nix/narinfo.h"

#include <cstddef>
#include <vector>

namespace penstock::cache::detail {

// Indexes of infos in rounds: each refers only to what is in rounds before its own, outside of infos, or to
// itself. Invalid names a path in a circle. The paths are distinct.
[[nodiscard]] Result<std::vector<std::vector<std::size_t>>> roundsOf(const std::vector<nix::NarInfo>& infos);

} // namespace penstock::cache::detail
