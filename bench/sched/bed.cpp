// SPDX-License-Identifier: GPL-3.0-or-later
#include "bench/sched/bed.h"

#include "bench/sched/cpu_time.h"

#include <algorithm>
#include <fmt/format.h>

namespace penstock::bench {

void Bed::addMachine(const protocol::MachineFacts& facts)
{
    const SessionId session(++m_sessions);
    apply(core::MachineConnected{session, fmt::format("{:032x}", m_sessions), "i", "local", "1", facts});
    protocol::LoadSample load;
    load.memoryAvailableBytes = facts.memoryBytes;
    load.diskFreeBytes = load.diskTotalBytes = load.storeFreeBytes = load.storeTotalBytes = 1ULL << 40U;
    load.diskFreeInodes = 1'000'000'000;
    apply(core::MachineReported{session, 0, {}, load});
}

void Bed::apply(core::Event event)
{
    std::vector<core::Event> events;
    events.push_back(std::move(event));
    run(events);
}

void Bed::run(std::vector<core::Event>& events)
{
    m_now.mono = m_now.mono + Duration(1'000);
    m_now.wall = m_now.wall + Duration(1'000);
    events.emplace_back(core::StoreConfirmed{UINT64_MAX});
    const double begin = cpuSeconds();
    std::vector<core::Command> commands = m_core.consume(events, m_now);
    m_lastSeconds = cpuSeconds() - begin;
    m_seconds += m_lastSeconds;
    for (core::Command& command : commands) {
        if (auto* desired = std::get_if<core::SendDesired>(&command))
            for (const protocol::Assignment& assignment : desired->desired.assign)
                m_assigned.emplace_back(desired->session, assignment.attempt);
        auto* reply = std::get_if<core::Reply>(&command);
        if (reply == nullptr)
            continue;
        if (!reply->answer && m_refusal.empty())
            m_refusal = reply->answer.error().message;
        if (reply->answer)
            if (auto* submitted = std::get_if<core::Submitted>(&*reply->answer))
                m_jobs = std::move(submitted->jobs);
    }
}

std::size_t Bed::finish(std::size_t batch)
{
    std::vector<core::Event> events;
    const std::size_t count = std::min(batch, m_assigned.size());
    events.reserve(2 * count + 1);
    for (std::size_t i = 0; i < count; ++i) {
        const auto [session, attempt] = m_assigned.front();
        m_assigned.pop_front();
        protocol::AttemptResult result;
        result.attempt = attempt;
        result.outcome = protocol::Outcome::Succeeded;
        events.emplace_back(core::AttemptAnswered{session, {attempt, true, {}, {}}});
        events.emplace_back(core::AttemptFinished{session, std::move(result)});
    }
    run(events);
    return count;
}

void Bed::settle()
{
    for (std::uint64_t before = starts() + 1; before != starts();) {
        before = starts();
        apply(core::TimerFired{});
    }
}

} // namespace penstock::bench
