// SPDX-License-Identifier: GPL-3.0-or-later
// Questions why steps do not run: one at a time on a connection, so that a client costs the core no more than that.
#include "server/feed/detail/client.h"
#include "server/feed/detail/wire.h"

#include <algorithm>
#include <utility>

namespace penstock::feed {

void Client::onExplain(const monitor::ExplainRequest& request)
{
    const std::uint64_t number = request.request();
    if (number == 0 || request.job_id() == 0)
        return problem(number, {ErrorCode::Invalid, "request and job_id must not be 0; name the job to explain"});
    if (m_explaining)
        return problem(number, {ErrorCode::Exhausted, "one explanation is being made for this connection, the limit; "
                                                      "ask again when it has come"});
    m_explaining = true;
    ExplainQuestion question{JobId(request.job_id())};
    if (request.step_id() != 0)
        question.step = StepId(request.step_id());
    if (request.max_steps() != 0)
        question.limit = std::min<std::size_t>(request.max_steps(), kExplainedSteps);
    auto answered = [this, number, alive = std::weak_ptr(m_alive)](Result<JobReasons> reasons) {
        if (!alive.lock())
            return;
        m_explaining = false;
        if (!reasons)
            return problem(number, reasons.error());
        monitor::FeedMessage message;
        auto& out = *message.mutable_explanation();
        out.set_request(number);
        wire::write(out, *reasons);
        send(message);
    };
    m_environment.source.explain(question, std::move(answered));
}

} // namespace penstock::feed
