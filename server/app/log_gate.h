// SPDX-License-Identifier: GPL-3.0-or-later
// LogGate: holds what builders say of an attempt's end, whatever it is, until the attempt's log is whole, so that
// nobody who hears of the end finds half a log. Only for attempts whose log somebody else keeps too (LogStore's tap);
// others pass. Not for long: a log that does not come in time is cut where it is. Lives on the net loop.
#pragma once

#include "server/http/metric.h"
#include "server/logs/log_store.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/loop.h"
#include "shared/protocol/link_values.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

namespace penstock::app {

struct LogGateOptions {
    Duration patience = std::chrono::seconds(10);
    std::size_t maxHeld = 20'000; // beyond it results do not wait
};

class LogGate {
public:
    using Pass = std::function<void(SessionId, protocol::AttemptResult)>;
    // All outlive it. pass: called on the loop, and never within hold().
    LogGate(Loop& loop, const Clock& clock, logs::LogStore& logs, Logger& logger, Pass pass,
            LogGateOptions options = {});
    ~LogGate();
    LogGate(const LogGate&) = delete;
    LogGate& operator=(const LogGate&) = delete;

    // Of an attempt that the core knows for this session's machine's. A repeat of what is held takes its place, also
    // of a new session of that machine's.
    void hold(SessionId session, protocol::AttemptResult result);
    // Its results are dropped: the builder says them again with its next connection, and its logs go on.
    void drop(SessionId session);

    [[nodiscard]] std::size_t held() const { return m_held.size(); }
    [[nodiscard]] std::uint64_t cut() const { return m_cut; } // ends told without the rest of the log
    void addMetrics(std::vector<http::MetricFamily>& families) const;

private:
    struct Held {
        SessionId session;
        protocol::AttemptResult result;
        Loop::TimerId timer = 0;
    };
    void settled(AttemptId attempt, bool isWhole);

    Loop& m_loop;
    const Clock& m_clock;
    logs::LogStore& m_logs;
    Logger& m_logger;
    const Pass m_pass;
    const LogGateOptions m_options;
    std::map<AttemptId, Held> m_held;
    std::uint64_t m_cut = 0;
    std::shared_ptr<bool> m_alive; // answers that come home after our end look here first
};

} // namespace penstock::app
