// SPDX-License-Identifier: GPL-3.0-or-later
// WorkerPool: threads for work that blocks: files, compression, S3. So many at once, so many more waiting; beyond that
// run() refuses, and the caller says so to whoever asked. run() is callable from any thread. The destructor lets
// running tasks end and drops those that wait: their owners must have told them to end soon.
#pragma once

#include "shared/base/cancel.h"
#include "shared/base/loop.h"
#include "shared/base/queue.h"

#include <cstddef>
#include <thread>
#include <vector>

namespace penstock::transfer {

struct PoolSize {
    unsigned threads = 4;
    std::size_t waiting = 1'000;
};

class WorkerPool {
public:
    explicit WorkerPool(PoolSize size);
    ~WorkerPool();
    WorkerPool(const WorkerPool&) = delete;
    WorkerPool& operator=(const WorkerPool&) = delete;

    // False: too many wait already; the task is dropped.
    [[nodiscard]] bool run(Task task);

private:
    BoundedQueue<Task> m_tasks;
    CancelToken m_stopping;
    std::vector<std::thread> m_threads;
};

} // namespace penstock::transfer
