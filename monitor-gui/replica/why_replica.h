// SPDX-License-Identifier: GPL-3.0-or-later
// The question "why is this step not running?" while somebody looks at it: what is asked, when to ask again, and
// the last answer. Pure, one owner, any thread. One question is under way at a time; an answer that does not come is
// given up after kPatience.
#pragma once

#include "monitor-gui/replica/feed_event.h"

#include <memory>
#include <optional>
#include <string>

namespace penstock::gui {

class WhyReplica {
public:
    static constexpr Duration kRefresh = std::chrono::seconds(2); // while it is looked at
    static constexpr Duration kPatience = std::chrono::seconds(10);

    // Another question, or none. What was known of the former is dropped.
    void ask(std::optional<WhyTarget> target);
    // The question to send now, if one is due; it counts as sent then.
    [[nodiscard]] std::optional<WhyTarget> due(Now now);
    // The connection was lost: no answer to what was sent will come.
    void forgetSent() { m_sent.reset(); }
    // False when it answers something else than what is asked.
    bool apply(const ExplanationEvent& event, Now now);

    [[nodiscard]] const std::optional<WhyTarget>& target() const { return m_target; }
    [[nodiscard]] const std::shared_ptr<const Explanation>& answer() const { return m_answer; } // null: none yet
    [[nodiscard]] const std::string& refusal() const { return m_refusal; } // of the newest question
    [[nodiscard]] bool answered() const { return m_answered.has_value(); }

private:
    std::optional<WhyTarget> m_target;
    std::shared_ptr<const Explanation> m_answer;
    std::string m_refusal;
    std::optional<Instant> m_sent; // the question under way
    std::optional<Instant> m_answered;
};

} // namespace penstock::gui
