// SPDX-License-Identifier: GPL-3.0-or-later
// ExecLoop: a Loop on a thread of its own that also waits for file descriptors (epoll). Everything that runs
// processes lives on it, so that a process costs no Qt object. post(), postAt() and cancel() from any thread;
// watch() and unwatch() on the loop only. The destructor runs what is posted, then joins.
#pragma once

#include "builder/spool/file_handle.h"
#include "shared/base/loop.h"
#include "shared/base/mutex.h"

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

namespace penstock::builder {

class ExecLoop final : public Loop {
public:
    using Ready = std::function<void(std::uint32_t epollEvents)>;

    explicit ExecLoop(std::string name); // shown in top and gdb, at most 15 bytes
    ~ExecLoop() override;
    ExecLoop(const ExecLoop&) = delete;
    ExecLoop& operator=(const ExecLoop&) = delete;

    void post(Task task) override;
    TimerId postAt(Instant at, Task task) override;
    void cancel(TimerId timer) override;
    [[nodiscard]] bool isHere() const override;

    // Level-triggered; one watch per descriptor. The callback may unwatch any descriptor, also its own.
    void watch(int fd, std::uint32_t epollEvents, Ready ready);
    void unwatch(int fd);

private:
    struct Watch {
        std::uint64_t serial; // tells a late event of a closed descriptor from its successor's
        Ready ready;
    };

    void run();
    void wake();
    void runDue();
    [[nodiscard]] int waitTime();
    void dispatch(std::uint64_t tag, std::uint32_t events);

    FileHandle m_epoll;
    FileHandle m_wakeup; // eventfd
    std::unordered_map<int, Watch> m_watches; // looked up only, never iterated
    std::uint64_t m_nextSerial = 1;

    Mutex m_mutex;
    std::vector<Task> m_posted PENSTOCK_GUARDED_BY(m_mutex);
    std::map<std::pair<Instant, TimerId>, Task> m_timers PENSTOCK_GUARDED_BY(m_mutex);
    std::map<TimerId, Instant> m_due PENSTOCK_GUARDED_BY(m_mutex);
    TimerId m_nextTimer PENSTOCK_GUARDED_BY(m_mutex) = 1;
    bool m_wakePending PENSTOCK_GUARDED_BY(m_mutex) = false;
    bool m_stopping PENSTOCK_GUARDED_BY(m_mutex) = false;
    std::thread m_thread; // last: starts when all else is built
};

} // namespace penstock::builder
