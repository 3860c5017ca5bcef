// SPDX-License-Identifier: GPL-3.0-or-later
// The transaction in which builds are finished: the row of nrbuilds is held, theirs are locked, something is written of
// those that could be, and all of them lose their row in hydra_builds. For cached_results only; see there.
#pragma once

#include "server/hydra/cached_results.h"

#include <functional>
#include <span>
#include <string>
#include <vector>

namespace penstock::hydra {

// What is written of the locked builds; called inside of the transaction, each time it is tried. All that it needs was
// read before: nobody else finishes a build meanwhile.
using WriteLocked = std::function<std::vector<store::postgres::Request>(std::span<const BuildId> locked)>;

[[nodiscard]] Result<std::vector<BuildId>> finishLocked(Finishing& at, std::span<const BuildRef> builds,
                                                        const WriteLocked& write);

[[nodiscard]] store::postgres::Parameters onlyIds(std::span<const BuildId> builds);
[[nodiscard]] store::postgres::Request notifyFinished(std::span<const BuildId> builds);

// The `build` of each.
[[nodiscard]] std::vector<BuildRef> refsOf(const auto& builds)
{
    std::vector<BuildRef> refs;
    for (const auto& build : builds)
        refs.push_back(build.build);
    return refs;
}

} // namespace penstock::hydra
