// SPDX-License-Identifier: GPL-3.0-or-later
// PumpedLoop: a loop that the test itself runs until something is true. Other threads may post to it; time stands still
// until the test moves it.
#pragma once

#include "shared/base/loop.h"
#include "shared/base/queue.h"

#include <chrono>
#include <map>
#include <utility>

namespace penstock::test {

class PumpedLoop final : public Loop, public Clock {
public:
    void post(Task task) override { PENSTOCK_CHECK(m_tasks.push(std::move(task))); }
    TimerId postAt(Instant at, Task task) override // by the test's thread only
    {
        m_timers.emplace(std::pair(at, ++m_lastTimer), std::move(task));
        return m_lastTimer;
    }
    void cancel(TimerId timer) override
    {
        std::erase_if(m_timers, [&](const auto& each) { return each.first.second == timer; });
    }
    [[nodiscard]] bool isHere() const override { return true; }
    [[nodiscard]] Now now() const override { return m_now; }

    // Waits for tasks as long as it takes: a condition that never comes is a test that runs out of its time.
    template <class Condition> void until(Condition condition)
    {
        while (!condition())
            if (auto task = m_tasks.takeOne())
                (*task)();
    }
    void advance(Duration by)
    {
        m_now.mono = m_now.mono + by;
        while (!m_timers.empty() && m_timers.begin()->first.first <= m_now.mono)
            m_timers.extract(m_timers.begin()).mapped()();
    }
    [[nodiscard]] std::size_t timers() const { return m_timers.size(); }

private:
    Now m_now{{std::chrono::hours(1)}, WallTime::fromMicros(1'700'000'000'000'000)};
    BoundedQueue<Task> m_tasks{100'000};
    std::map<std::pair<Instant, TimerId>, Task> m_timers;
    TimerId m_lastTimer = 0;
};

} // namespace penstock::test
