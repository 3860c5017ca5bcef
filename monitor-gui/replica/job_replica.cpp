// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/replica/job_replica.h"

#include <tuple>

namespace penstock::gui {

void JobReplica::watch(std::optional<JobId> id)
{
    m_watched = id;
    m_job.reset();
    m_steps.clear();
    m_refusal.clear();
    m_refused = 0;
    ++m_revision;
}

void JobReplica::apply(const JobEvent& event)
{
    if (!m_watched || (event.asked && event.asked != m_watched) || (event.job && event.job->id != *m_watched))
        return;
    ++m_revision;
    m_refusal = event.refusal;
    if (event.job)
        m_job = event.job;
    if (event.complete)
        m_steps.clear();
    for (const StepPtr& step : event.steps) {
        if (m_steps.size() >= kMaxSteps && !m_steps.contains(step->id))
            ++m_refused;
        else
            m_steps.insert_or_assign(step->id, step);
    }
}

StepPtr JobReplica::stepOfInterest() const
{
    const auto rank = [](const StepRecord& step) {
        const int state = step.state == StepState::Running                                        ? 3
                          : step.state == StepState::Failed && step.result != "dependency_failed" ? 2
                                                                                                  : 1;
        const std::int64_t started = step.started.value_or(WallTime{}).micros();
        return std::tuple(state, state == 3 ? -started : started, step.id);
    };
    StepPtr best;
    for (const auto& [id, step] : m_steps) {
        if (step->attempt && (!best || rank(*step) > rank(*best)))
            best = step;
    }
    return best;
}

} // namespace penstock::gui
