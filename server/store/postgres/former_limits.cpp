// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/store/postgres/former_limits.h"

#include <algorithm>

namespace penstock::store::postgres {
namespace {

// Zero is none, and nothing is more generous than that.
template <class Value> Value moreGenerous(Value a, Value b)
{
    return a == Value{0} || b == Value{0} ? Value{0} : std::max(a, b);
}

} // namespace

void FormerLimits::give(std::vector<work::JobRow>& jobs, const std::vector<work::JobStepRow>& jobSteps)
{
    if (m_steps.empty())
        return;
    for (const work::JobStepRow& row : jobSteps) {
        const auto job = m_jobs.find(row.job);
        const auto step = std::ranges::lower_bound(m_steps, row.step, {}, &std::pair<StepId, work::Limits>::first);
        if (job == m_jobs.end() || step == m_steps.end() || step->first != row.step)
            continue;
        Found& found = job->second;
        const work::Limits& more = step->second;
        const work::Limits& known = found.any ? found.limits : more;
        found.limits = {moreGenerous(known.timeout, more.timeout),
                        moreGenerous(known.silentTimeout, more.silentTimeout),
                        moreGenerous(known.maxLogBytes, more.maxLogBytes), 0};
        found.any = true;
    }
    for (work::JobRow& row : jobs)
        if (const auto found = m_jobs.find(row.id); found != m_jobs.end())
            row.spec.limits = found->second.limits;
}

} // namespace penstock::store::postgres
