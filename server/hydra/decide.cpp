// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/hydra/decide.h"

#include "server/hydra/detail/decision.h"

namespace penstock::hydra {

Rows decide(const Facts& facts, const ProjectionRules& rules)
{
    detail::Decision decision(facts, rules);
    // What ended came before what could start because of it; a new attempt's own end follows its start.
    decision.endSteps();
    decision.startSteps();
    decision.endBuilds();
    return decision.take();
}

} // namespace penstock::hydra
