// SPDX-License-Identifier: GPL-3.0-or-later
// BoundedQueue: values from any thread to one consumer thread. The bound is part of the type's use: push
// refuses (returns false) when full, and the caller applies its named policy. Never grows past the limit.
#pragma once

#include "shared/base/mutex.h"

#include <cstddef>
#include <deque>
#include <optional>
#include <utility>

namespace penstock {

template <class T> class BoundedQueue {
public:
    explicit BoundedQueue(std::size_t limit) : m_limit(limit) {}

    // False when full or closed; the value is then left with the caller.
    [[nodiscard]] bool push(T&& value)
    {
        {
            const MutexLock lock(m_mutex);
            if (m_closed || m_items.size() >= m_limit)
                return false;
            m_items.push_back(std::move(value));
        }
        m_ready.notifyOne();
        return true;
    }
    // Blocks the consumer until something is there, then takes all of it. Empty only after close().
    [[nodiscard]] std::deque<T> takeAll()
    {
        const MutexLock lock(m_mutex);
        while (m_items.empty() && !m_closed)
            m_ready.wait(m_mutex);
        return std::exchange(m_items, {});
    }
    // The same, but no longer than until the deadline (of a steady clock): nothing when that has passed.
    template <class TimePoint> [[nodiscard]] std::optional<std::deque<T>> takeAllUntil(TimePoint deadline)
    {
        const MutexLock lock(m_mutex);
        while (m_items.empty() && !m_closed)
            if (!m_ready.waitUntil(m_mutex, deadline) && m_items.empty() && !m_closed)
                return std::nullopt;
        return std::exchange(m_items, {});
    }
    // Blocks until one is there; nothing only after close() and when drained.
    [[nodiscard]] std::optional<T> takeOne()
    {
        const MutexLock lock(m_mutex);
        while (m_items.empty() && !m_closed)
            m_ready.wait(m_mutex);
        if (m_items.empty())
            return std::nullopt;
        std::optional<T> value(std::move(m_items.front()));
        m_items.pop_front();
        return value;
    }
    void close()
    {
        {
            const MutexLock lock(m_mutex);
            m_closed = true;
        }
        m_ready.notifyAll();
    }

private:
    const std::size_t m_limit;
    Mutex m_mutex;
    Condition m_ready;
    std::deque<T> m_items PENSTOCK_GUARDED_BY(m_mutex);
    bool m_closed PENSTOCK_GUARDED_BY(m_mutex) = false;
};

} // namespace penstock
