// SPDX-License-Identifier: GPL-3.0-or-later
// Shows a Nix build job: a line per running step that is redrawn in place, or plain lines without a terminal,
// or JSON objects; and afterwards what failed, with its log, and what was not built because of it. One
// thread.
#pragma once

#include "client/app/invocation.h"
#include "client/follow/follow_loop.h"
#include "client/output/progress.h"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace penstock::client {

[[nodiscard]] StepProgress progressOf(const monitor::StepRecord& step);
// The last lines of a log, at most count; an unfinished last line counts.
[[nodiscard]] std::string lastLines(std::string_view text, std::size_t count);

class BuildView final : public FollowView {
public:
    BuildView(Invocation& invocation, bool withLogs) : m_invocation(invocation), m_withLogs(withLogs) {}

    void onJob(const monitor::JobRecord& job) override { m_job = job; }
    void onStep(std::uint64_t job, const monitor::StepRecord& step) override;
    void onLog(std::uint64_t job, const LogPiece& piece) override;
    void onJobEnd(const monitor::JobRecord& job) override;
    void onJobError(std::uint64_t job, const Error& error) override;
    void onTick() override;

    // The failed steps with the ends of their logs, and what depended on them.
    void reportFailures();
    [[nodiscard]] const std::optional<monitor::JobRecord>& ended() const { return m_ended; }
    [[nodiscard]] const std::map<std::uint64_t, monitor::StepRecord>& steps() const { return m_steps; }
    [[nodiscard]] std::string summary() const { return summarize(m_progress); }

private:
    void reportFailure(const monitor::StepRecord& step);
    void printLogLine(std::uint64_t step, std::string_view line);

    Invocation& m_invocation;
    bool m_withLogs;
    monitor::JobRecord m_job;
    std::optional<monitor::JobRecord> m_ended;
    std::map<std::uint64_t, monitor::StepRecord> m_steps;
    StepProgressMap m_progress;
    std::map<std::uint64_t, std::string> m_openLines; // of logs, by step
};

} // namespace penstock::client
