// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/transfer/worker_pool.h"

#include <utility>

namespace penstock::transfer {

WorkerPool::WorkerPool(PoolSize size) : m_tasks(size.waiting)
{
    m_threads.reserve(size.threads);
    for (unsigned at = 0; at < size.threads; ++at) {
        m_threads.emplace_back([this] {
            while (auto task = m_tasks.takeOne()) {
                if (!m_stopping.isCancelled())
                    (*task)();
            }
        });
    }
}

WorkerPool::~WorkerPool()
{
    m_stopping.cancel();
    m_tasks.close();
    for (auto& thread : m_threads)
        thread.join();
}

bool WorkerPool::run(Task task)
{
    return m_tasks.push(std::move(task));
}

} // namespace penstock::transfer
