// SPDX-License-Identifier: GPL-3.0-or-later
// IdlePool: values that wait to be used again, by any thread: connections, buffers. The one used last is
// given out first, so that what is not needed grows old. Never holds more than its limit; when full, put
// gives the value back to be dropped by the caller, outside of the lock. Says nothing about how many are in
// use.
#pragma once

#include "shared/base/clock.h"
#include "shared/base/mutex.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

namespace penstock {

template <class T> class IdlePool {
public:
    explicit IdlePool(std::size_t limit) : m_limit(limit) {}

    // Nothing when it was kept, else the value.
    [[nodiscard]] std::optional<T> put(T&& value, Instant now)
    {
        const MutexLock lock(m_mutex);
        if (m_items.size() >= m_limit)
            return std::optional<T>(std::move(value));
        m_items.push_back({now, std::move(value)});
        return std::nullopt;
    }
    [[nodiscard]] std::optional<T> take()
    {
        const MutexLock lock(m_mutex);
        if (m_items.empty())
            return std::nullopt;
        std::optional<T> value(std::move(m_items.back().value));
        m_items.pop_back();
        return value;
    }
    // Those that were put before the instant.
    [[nodiscard]] std::vector<T> takeOlderThan(Instant limit)
    {
        const MutexLock lock(m_mutex);
        const auto fresh = std::find_if(m_items.begin(), m_items.end(),
                                        [limit](const Item& item) { return !(item.since < limit); });
        std::vector<T> old;
        for (auto item = m_items.begin(); item != fresh; ++item)
            old.push_back(std::move(item->value));
        m_items.erase(m_items.begin(), fresh);
        return old;
    }

private:
    struct Item {
        Instant since;
        T value;
    };
    const std::size_t m_limit;
    Mutex m_mutex;
    std::vector<Item> m_items PENSTOCK_GUARDED_BY(m_mutex); // the oldest first
};

} // namespace penstock
