// SPDX-License-Identifier: GPL-3.0-or-later
// The feed's question why steps do not run.
#include "server/app/farm_gateway.h"
#include "server/app/feed_records.h"

#include <utility>

namespace penstock::app {

void FarmGateway::explain(feed::ExplainQuestion question, feed::Answer<feed::JobReasons> answer)
{
    auto home = [this, &loop = m_parts.loop, alive = m_alive, job = question.job,
                 answer = std::move(answer)](Result<feed::JobReasons> reasons) {
        loop.post([this, alive, job, answer, reasons = std::move(reasons)]() mutable {
            if (!*alive)
                return;
            if (reasons || reasons.error().code != ErrorCode::NotFound)
                return answer(std::move(reasons));
            // Finished, or there never was such a job.
            findJob(job, [job, answer](Result<store::JobView> view) {
                if (!view)
                    return answer(fail(std::move(view).error()));
                answer(feed::JobReasons{job, view->row.progress.state, {}});
            });
        });
    };
    m_parts.dispatcher.ask([question, home = std::move(home)](const core::FarmCore& farm, Now now) {
        home(reasonsOf(farm, question, now));
    });
}

} // namespace penstock::app
