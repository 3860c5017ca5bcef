// SPDX-License-Identifier: GPL-3.0-or-later
// Shows followed command jobs: their output byte for byte on the right stream, or with --json one object a
// line. One thread, that of the loop.
#pragma once

#include "client/app/invocation.h"
#include "client/follow/follow_loop.h"

#include <map>
#include <QJsonObject>

namespace penstock::client {

[[nodiscard]] QJsonObject jobObject(const monitor::JobRecord& job);
[[nodiscard]] QJsonObject logObject(std::uint64_t job, const LogPiece& piece);

class JobView : public FollowView {
public:
    explicit JobView(Invocation& invocation) : m_invocation(invocation) {}

    void onJob(const monitor::JobRecord& job) override;
    void onLog(std::uint64_t job, const LogPiece& piece) override;
    void onJobEnd(const monitor::JobRecord& job) override;
    void onJobError(std::uint64_t job, const Error& error) override;
    void onTick() override;

    // Jobs that ended, and those that could not be followed.
    [[nodiscard]] const std::map<std::uint64_t, monitor::JobRecord>& ended() const { return m_ended; }
    [[nodiscard]] bool anyError() const { return m_anyError; }
    [[nodiscard]] bool allSucceeded() const;

    // Writes {"event": …} and the object's keys as a line.
    void printEvent(const char* event, QJsonObject object);

private:
    Invocation& m_invocation;
    std::map<std::uint64_t, monitor::JobRecord> m_ended;
    bool m_anyError = false;
    bool m_waits = false; // a job is queued and that is worth saying on a terminal
    std::optional<Instant> m_waitsSince;
};

} // namespace penstock::client
