// SPDX-License-Identifier: GPL-3.0-or-later
// The projection's decisions: from facts to rows and notifications. Pure. Cannot fail: a fact that is missing has a
// defined consequence, as Hydra's rows may be deleted or changed by others at any time.
#pragma once

#include "server/hydra/projection_rows.h"

namespace penstock::hydra {

struct ProjectionRules {
    std::string dataDir;       // log files are below it
    bool cacheFailures = true; // failedpaths is written
};

[[nodiscard]] Rows decide(const Facts& facts, const ProjectionRules& rules);

} // namespace penstock::hydra
