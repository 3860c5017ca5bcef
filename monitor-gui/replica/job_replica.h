// SPDX-License-Identifier: GPL-3.0-or-later
// One watched job with its steps, as last told by the server. Pure, one owner, any thread. At most kMaxSteps
// steps are kept; what is above is left out and counted.
#pragma once

#include "monitor-gui/replica/feed_event.h"

#include <cstddef>
#include <map>
#include <optional>

namespace penstock::gui {

inline constexpr std::size_t kMaxSteps = 100'000;

class JobReplica {
public:
    // Another job is watched now; what was known of the former is dropped.
    void watch(std::optional<JobId> id);
    // Ignored when it belongs to another job than the watched one.
    void apply(const JobEvent& event);

    [[nodiscard]] std::optional<JobId> watched() const { return m_watched; }
    [[nodiscard]] const JobPtr& job() const { return m_job; }
    [[nodiscard]] const std::map<StepId, StepPtr>& steps() const { return m_steps; }
    [[nodiscard]] const std::string& refusal() const { return m_refusal; }
    [[nodiscard]] std::uint64_t refused() const { return m_refused; }
    [[nodiscard]] std::uint64_t revision() const { return m_revision; }
    // The step whose log a person most likely wants: the one that runs longest, else
    // the last failed, else the last finished.
    [[nodiscard]] StepPtr stepOfInterest() const;

private:
    std::optional<JobId> m_watched;
    JobPtr m_job;
    std::map<StepId, StepPtr> m_steps;
    std::string m_refusal;
    std::uint64_t m_refused = 0;
    std::uint64_t m_revision = 0;
};

} // namespace penstock::gui
