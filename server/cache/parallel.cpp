// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/cache/parallel.h"

#include "shared/base/mutex.h"

#include <algorithm>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace penstock::cache {
namespace {

class Items {
public:
    explicit Items(std::size_t count) : m_count(count) {}

    [[nodiscard]] std::optional<std::size_t> take()
    {
        const MutexLock lock(m_mutex);
        if (m_next >= m_count || m_error)
            return std::nullopt;
        return m_next++;
    }
    void failed(std::size_t item, Error error)
    {
        const MutexLock lock(m_mutex);
        if (!m_error || item < m_failedItem) {
            m_error = std::move(error);
            m_failedItem = item;
        }
    }
    [[nodiscard]] Result<void> result()
    {
        const MutexLock lock(m_mutex);
        if (m_error)
            return fail(*m_error);
        return {};
    }

private:
    const std::size_t m_count;
    Mutex m_mutex;
    std::size_t m_next PENSTOCK_GUARDED_BY(m_mutex) = 0;
    std::size_t m_failedItem PENSTOCK_GUARDED_BY(m_mutex) = 0;
    std::optional<Error> m_error PENSTOCK_GUARDED_BY(m_mutex);
};

} // namespace

Result<void> parallelFor(std::size_t count, std::size_t threads,
                         const std::function<Result<void>(std::size_t)>& work)
{
    Items items(count);
    const auto run = [&items, &work] {
        while (const auto item = items.take())
            if (auto done = work(*item); !done)
                items.failed(*item, std::move(done).error());
    };
    std::vector<std::thread> others;
    const std::size_t wanted = std::min(threads, count);
    for (std::size_t i = 1; i < wanted; ++i) {
        try {
            others.emplace_back(run);
        } catch (const std::system_error&) {
            break; // a machine without room for more threads: fewer do it all the same
        }
    }
    run();
    for (std::thread& other : others)
        other.join();
    return items.result();
}

} // namespace penstock::cache
