// SPDX-License-Identifier: GPL-3.0-or-later
// TaskInbox: what other threads want done on a thread that waits for sockets. A task that was posted runs, unless the
// inbox was closed before it was taken. Not bounded in itself: whoever lets strangers post counts first.
// Any thread; take by the owner only.
#pragma once

#include "shared/base/loop.h"
#include "shared/base/mutex.h"

#include <sys/eventfd.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace penstock::hydra {

class TaskInbox {
public:
    TaskInbox() : m_descriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) { PENSTOCK_CHECK(m_descriptor >= 0); }
    ~TaskInbox() { ::close(m_descriptor); }
    TaskInbox(const TaskInbox&) = delete;
    TaskInbox& operator=(const TaskInbox&) = delete;

    // False when closed.
    bool post(Task task)
    {
        const MutexLock lock(m_mutex);
        if (m_isClosed)
            return false;
        m_tasks.push_back(std::move(task));
        ::eventfd_write(m_descriptor, 1);
        return true;
    }
    [[nodiscard]] std::vector<Task> take()
    {
        const MutexLock lock(m_mutex);
        eventfd_t unused = 0;
        ::eventfd_read(m_descriptor, &unused);
        return std::exchange(m_tasks, {});
    }
    void close() // what was not taken is dropped
    {
        std::vector<Task> dropped;
        const MutexLock lock(m_mutex);
        m_isClosed = true;
        dropped = std::exchange(m_tasks, {});
    }
    [[nodiscard]] int descriptor() const { return m_descriptor; } // can be read while something is there

private:
    const int m_descriptor;
    Mutex m_mutex;
    bool m_isClosed PENSTOCK_GUARDED_BY(m_mutex) = false;
    std::vector<Task> m_tasks PENSTOCK_GUARDED_BY(m_mutex);
};

} // namespace penstock::hydra
