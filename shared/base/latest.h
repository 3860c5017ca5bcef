// SPDX-License-Identifier: GPL-3.0-or-later
// Latest: the newest value that one thread has published, for any thread to read. Readers get a copy.
#pragma once

#include "shared/base/mutex.h"

#include <utility>

namespace penstock {

template <class T> class Latest {
public:
    explicit Latest(T value) : m_value(std::move(value)) {}

    void publish(T value)
    {
        const MutexLock lock(m_mutex);
        m_value = std::move(value);
    }
    [[nodiscard]] T get() const
    {
        const MutexLock lock(m_mutex);
        return m_value;
    }

private:
    mutable Mutex m_mutex;
    T m_value PENSTOCK_GUARDED_BY(m_mutex);
};

} // namespace penstock
