// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/base/std_loop.h"

#include <chrono>
#include <pthread.h>

namespace penstock {

StdLoop::StdLoop(std::string name)
    : m_thread([this, name = std::move(name)] {
          pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());
          run();
      })
{
}

StdLoop::~StdLoop()
{
    {
        const MutexLock lock(m_mutex);
        m_stopping = true;
    }
    m_wake.notifyAll();
    m_thread.join();
}

void StdLoop::post(Task task)
{
    {
        const MutexLock lock(m_mutex);
        m_posted.push_back(std::move(task));
    }
    m_wake.notifyOne();
}

Loop::TimerId StdLoop::postAt(Instant at, Task task)
{
    TimerId id = 0;
    {
        const MutexLock lock(m_mutex);
        id = m_nextTimer++;
        m_timers.emplace(std::pair(at, id), std::move(task));
        m_due.emplace(id, at);
    }
    m_wake.notifyOne();
    return id;
}

void StdLoop::cancel(TimerId timer)
{
    const MutexLock lock(m_mutex);
    const auto found = m_due.find(timer);
    if (found == m_due.end())
        return;
    m_timers.erase({found->second, timer});
    m_due.erase(found);
}

bool StdLoop::isHere() const
{
    return std::this_thread::get_id() == m_thread.get_id();
}

std::vector<Task> StdLoop::takeDue()
{
    const MutexLock lock(m_mutex);
    for (;;) {
        std::vector<Task> due = std::exchange(m_posted, {});
        const Instant now = SystemClock{}.now().mono;
        while (!m_timers.empty() && m_timers.begin()->first.first <= now) {
            auto node = m_timers.extract(m_timers.begin());
            m_due.erase(node.key().second);
            due.push_back(std::move(node.mapped()));
        }
        if (!due.empty() || m_stopping)
            return due;
        if (m_timers.empty())
            m_wake.wait(m_mutex);
        else
            m_wake.waitUntil(m_mutex,
                             std::chrono::steady_clock::time_point(m_timers.begin()->first.first.sinceStart));
    }
}

void StdLoop::run()
{
    for (std::vector<Task> due = takeDue(); !due.empty(); due = takeDue())
        for (Task& task : due)
            task();
}

} // namespace penstock
