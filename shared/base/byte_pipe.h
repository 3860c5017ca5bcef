// SPDX-License-Identifier: GPL-3.0-or-later
// BytePipe: bytes from one thread that pushes them to another that asks for them, at most `limit` at a time.
// Both sides block. Each must say when it leaves, or the other waits for ever: the writer by finish() or
// fail(), the reader by abandon(). What was failed or abandoned first is what the other side gets as its
// error.
#pragma once

#include "shared/base/mutex.h"
#include "shared/base/result.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace penstock {

class BytePipe {
public:
    explicit BytePipe(std::size_t limit) : m_limit(limit) {}

    // ---- the writer
    [[nodiscard]] Result<void> write(std::string_view bytes)
    {
        while (!bytes.empty()) {
            const MutexLock lock(m_mutex);
            while (m_held == m_limit && !m_error)
                m_changed.wait(m_mutex);
            if (m_error)
                return penstock::fail(*m_error);
            m_ring.resize(m_limit); // once
            const std::size_t end = (m_first + m_held) % m_limit;
            const std::size_t count = std::min({bytes.size(), m_limit - m_held, m_limit - end});
            std::copy_n(bytes.data(), count, m_ring.data() + end);
            m_held += count;
            bytes.remove_prefix(count);
            m_changed.notifyAll();
        }
        return {};
    }
    void finish()
    {
        const MutexLock lock(m_mutex);
        m_isFinished = true;
        m_changed.notifyAll();
    }
    void fail(Error error) { end(std::move(error)); }

    // ---- the reader
    // 0: the writer has finished and all was read.
    [[nodiscard]] Result<std::size_t> read(std::span<char> into)
    {
        const MutexLock lock(m_mutex);
        while (m_held == 0 && !m_isFinished && !m_error)
            m_changed.wait(m_mutex);
        if (m_error)
            return penstock::fail(*m_error);
        const std::size_t count = std::min({into.size(), m_held, m_limit - m_first});
        std::copy_n(m_ring.data() + m_first, count, into.data());
        m_first = (m_first + count) % m_limit;
        m_held -= count;
        m_changed.notifyAll();
        return count;
    }
    void abandon(Error error) { end(std::move(error)); }

private:
    void end(Error error)
    {
        const MutexLock lock(m_mutex);
        if (!m_error)
            m_error = std::move(error);
        m_changed.notifyAll();
    }

    const std::size_t m_limit;
    Mutex m_mutex;
    Condition m_changed;
    std::vector<char> m_ring PENSTOCK_GUARDED_BY(m_mutex); // m_limit bytes
    std::size_t m_first PENSTOCK_GUARDED_BY(m_mutex) = 0;
    std::size_t m_held PENSTOCK_GUARDED_BY(m_mutex) = 0;
    bool m_isFinished PENSTOCK_GUARDED_BY(m_mutex) = false;
    std::optional<Error> m_error PENSTOCK_GUARDED_BY(m_mutex);
};

} // namespace penstock
