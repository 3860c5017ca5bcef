// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/hydra/decide.h"

#include "server/hydra/detail/decision.h"

namespace penstock::hydra {

Rows decide(const Facts& facts, const ProjectionRules& rules)
{
    detail::Decision decision(facts, rules);
    decision.startSteps();
    decision.endSteps();
    decision.endBuilds();
    return decision.take();
}

} // namespace penstock::hydra
