// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/log_gate.h"

#include <utility>

namespace penstock::app {

LogGate::LogGate(Loop& loop, const Clock& clock, logs::LogStore& logs, Logger& logger, Pass pass,
                 LogGateOptions options)
    : m_loop(loop), m_clock(clock), m_logs(logs), m_logger(logger), m_pass(std::move(pass)), m_options(options),
      m_alive(std::make_shared<bool>(true))
{
}

LogGate::~LogGate()
{
    *m_alive = false;
    for (const auto& [attempt, held] : m_held)
        m_loop.cancel(held.timer);
}

void LogGate::hold(SessionId session, protocol::AttemptResult result)
{
    const AttemptId attempt = result.attempt;
    const std::uint64_t bytes = result.logBytes;
    // Found ready, it was not built, and tells nothing.
    const bool hasRun = !result.cached;
    const auto waiting = m_held.find(attempt);
    if (waiting != m_held.end()) {
        waiting->second.session = session;
        waiting->second.result = std::move(result);
    } else {
        const bool isFull = m_held.size() >= m_options.maxHeld;
        const Duration patience = isFull ? Duration(0) : m_options.patience;
        const auto timer = m_loop.postAt(m_clock.now().mono + patience, [this, alive = m_alive, attempt] {
            if (*alive)
                m_logs.settleNow(attempt);
        });
        m_held.emplace(attempt, Held{session, std::move(result), timer});
    }
    m_logs.settle(attempt, bytes, hasRun, [this, &loop = m_loop, alive = m_alive, attempt](bool isWhole) {
        loop.post([this, alive, attempt, isWhole] {
            if (*alive)
                settled(attempt, isWhole);
        });
    });
}

// An answer to a former hold is as good: it came because the log was closed.
void LogGate::settled(AttemptId attempt, bool isWhole)
{
    const auto found = m_held.find(attempt);
    if (found == m_held.end())
        return;
    auto held = m_held.extract(found);
    m_loop.cancel(held.mapped().timer);
    if (!isWhole) {
        ++m_cut;
        m_logger.warning("hydra.log_incomplete", {{"attempt", attempt.value()},
                                                  {"bytes", held.mapped().result.logBytes}});
    }
    m_pass(held.mapped().session, std::move(held.mapped().result));
}

void LogGate::addMetrics(std::vector<http::MetricFamily>& families) const
{
    families.push_back(http::gauge("penstock_hydra_results_held", "results that wait for the end of their logs",
                                   static_cast<double>(m_held.size())));
    families.push_back(http::counter("penstock_hydra_logs_cut_total",
                                     "results told before the end of their logs, which did not come",
                                     static_cast<double>(m_cut)));
}

void LogGate::drop(SessionId session)
{
    for (auto held = m_held.begin(); held != m_held.end();) {
        if (held->second.session != session) {
            ++held;
            continue;
        }
        m_logs.unsettle(held->first);
        m_loop.cancel(held->second.timer);
        held = m_held.erase(held);
    }
}

} // namespace penstock::app
