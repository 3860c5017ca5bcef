// SPDX-License-Identifier: GPL-3.0-or-later
// Mutex and lock with Clang's thread-safety annotations: the only lock of the program. Members guarded by a
// Mutex carry PENSTOCK_GUARDED_BY, and Clang refuses access without the lock.
#pragma once

#include <condition_variable>
#include <mutex>

#if defined(__clang__)
#define PENSTOCK_THREAD_ATTRIBUTE(x) __attribute__((x))
#else
#define PENSTOCK_THREAD_ATTRIBUTE(x)
#endif
#define PENSTOCK_GUARDED_BY(x) PENSTOCK_THREAD_ATTRIBUTE(guarded_by(x))
#define PENSTOCK_REQUIRES(x) PENSTOCK_THREAD_ATTRIBUTE(requires_capability(x))

namespace penstock {

class PENSTOCK_THREAD_ATTRIBUTE(capability("mutex")) Mutex {
public:
    void lock() PENSTOCK_THREAD_ATTRIBUTE(acquire_capability()) { m_mutex.lock(); }
    void unlock() PENSTOCK_THREAD_ATTRIBUTE(release_capability()) { m_mutex.unlock(); }

private:
    std::mutex m_mutex;
};

class PENSTOCK_THREAD_ATTRIBUTE(scoped_lockable) MutexLock {
public:
    explicit MutexLock(Mutex& mutex) PENSTOCK_THREAD_ATTRIBUTE(acquire_capability(mutex)) : m_mutex(mutex)
    {
        m_mutex.lock();
    }
    ~MutexLock() PENSTOCK_THREAD_ATTRIBUTE(release_capability()) { m_mutex.unlock(); }
    MutexLock(const MutexLock&) = delete;
    MutexLock& operator=(const MutexLock&) = delete;

private:
    Mutex& m_mutex;
};

// Waits with a held Mutex; spurious wake-ups are possible, so callers wait in a loop.
class Condition {
public:
    void wait(Mutex& mutex) PENSTOCK_REQUIRES(mutex) { m_condition.wait(mutex); }
    // False: the deadline has passed.
    template <class TimePoint>
    bool waitUntil(Mutex& mutex, TimePoint deadline) PENSTOCK_REQUIRES(mutex)
    {
        return m_condition.wait_until(mutex, deadline) == std::cv_status::no_timeout;
    }
    void notifyOne() { m_condition.notify_one(); }
    void notifyAll() { m_condition.notify_all(); }

private:
    std::condition_variable_any m_condition;
};

} // namespace penstock
