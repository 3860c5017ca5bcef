// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/replica/why_replica.h"

#include <utility>

namespace penstock::gui {

void WhyReplica::ask(std::optional<WhyTarget> target)
{
    if (target == m_target)
        return;
    m_target = std::move(target);
    m_answer.reset();
    m_refusal.clear();
    m_answered.reset();
    // An answer under way is still awaited: the server makes one at a time.
}

std::optional<WhyTarget> WhyReplica::due(Now now)
{
    if (!m_target)
        return std::nullopt;
    if (m_sent && now.mono - *m_sent < kPatience)
        return std::nullopt;
    if (m_answered && now.mono - *m_answered < kRefresh)
        return std::nullopt;
    m_sent = now.mono;
    return m_target;
}

bool WhyReplica::apply(const ExplanationEvent& event, Now now)
{
    m_sent.reset();
    if (!m_target || event.asked != m_target)
        return false;
    m_answered = now.mono;
    m_refusal = event.refusal;
    if (event.refusal.empty())
        m_answer = event.explanation;
    return true;
}

} // namespace penstock::gui
