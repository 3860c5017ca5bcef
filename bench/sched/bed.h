// SPDX-License-Identifier: GPL-3.0-or-later
// A core whose store answers at once, with machines that accept everything and end it when they are told to:
// for questions about time and memory, where models of machines would be in the way.
#pragma once

#include "server/core/farm_core.h"

#include <chrono>
#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <vector>

namespace penstock::bench {

class Bed {
public:
    explicit Bed(const core::CoreOptions& options = {}) : m_core(options) {}

    void addMachine(const protocol::MachineFacts& facts);
    void apply(core::Event event);
    // The earliest assigned attempts succeed, at most so many, in one batch. How many.
    std::size_t finish(std::size_t batch);
    void settle(); // passes that were cut short go on until nothing is left to start

    [[nodiscard]] core::FarmCore& core() { return m_core; }
    [[nodiscard]] Now now() const { return m_now; }
    [[nodiscard]] std::size_t assigned() const { return m_assigned.size(); }
    [[nodiscard]] std::uint64_t starts() const { return m_core.counters().attemptsStarted; }
    [[nodiscard]] double seconds() const { return m_seconds; } // of processor time inside the core
    [[nodiscard]] double lastSeconds() const { return m_lastSeconds; }
    [[nodiscard]] const std::string& refusal() const { return m_refusal; }  // the first one; empty: none
    [[nodiscard]] const std::vector<JobId>& jobs() const { return m_jobs; } // of the last answered submission

private:
    void run(std::vector<core::Event>& events);

    core::FarmCore m_core;
    Now m_now{{std::chrono::hours(1)}, WallTime::fromMicros(1'700'000'000'000'000)};
    std::deque<std::pair<SessionId, AttemptId>> m_assigned;
    std::uint64_t m_sessions = 0;
    std::string m_refusal;
    std::vector<JobId> m_jobs;
    double m_seconds = 0;
    double m_lastSeconds = 0;
};

} // namespace penstock::bench
