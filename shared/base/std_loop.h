// SPDX-License-Identifier: GPL-3.0-or-later
// StdLoop: a Loop on a std::thread of its own, without Qt. The constructor starts the thread; the destructor
// runs what is already posted, drops timers that are not due, and joins.
#pragma once

#include "shared/base/loop.h"
#include "shared/base/mutex.h"

#include <map>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace penstock {

class StdLoop final : public Loop {
public:
    explicit StdLoop(std::string name); // shown in top and gdb, at most 15 bytes
    ~StdLoop() override;
    StdLoop(const StdLoop&) = delete;
    StdLoop& operator=(const StdLoop&) = delete;

    void post(Task task) override;
    TimerId postAt(Instant at, Task task) override;
    void cancel(TimerId timer) override;
    [[nodiscard]] bool isHere() const override;

private:
    void run();
    [[nodiscard]] std::vector<Task> takeDue();

    Mutex m_mutex;
    Condition m_wake;
    std::vector<Task> m_posted PENSTOCK_GUARDED_BY(m_mutex);
    // Ordered by due time, then by insertion, so that equal instants keep their order.
    std::map<std::pair<Instant, TimerId>, Task> m_timers PENSTOCK_GUARDED_BY(m_mutex);
    std::map<TimerId, Instant> m_due PENSTOCK_GUARDED_BY(m_mutex);
    TimerId m_nextTimer PENSTOCK_GUARDED_BY(m_mutex) = 1;
    bool m_stopping PENSTOCK_GUARDED_BY(m_mutex) = false;
    std::thread m_thread; // last: starts when all else is built
};

} // namespace penstock
