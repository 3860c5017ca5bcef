// SPDX-License-Identifier: GPL-3.0-or-later
// Sender: brings store paths from the local store to the server, with everything they refer to that the
// server lacks, compressed as the server wants it, to the server itself or past it to S3. One for a process;
// so many streams at a time, each with at most 2 MiB in memory, or one part of an upload in parts, or a file
// in the spool directory. send() blocks; callable from any thread, from several at once. It returns when
// everything is published, else nothing is shown of it.
//
// Errors: those of Road and StoreAccess; Denied names the paths that the server refuses, with its reason;
// NotFound a path that is not valid here.
#pragma once

#include "shared/base/mutex.h"
#include "shared/transfer/road.h"
#include "shared/transfer/store_maker.h"

#include <cstddef>
#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace penstock::transfer {

struct SenderOptions {
    unsigned streams = 4;
    // For what must be compressed before its length is known; files there have no name.
    std::string spoolDirectory = "/tmp";
};

struct SendOrder {
    nix::StorePathSet paths;
    std::shared_ptr<const Road> road;
    StoreMaker store;
    nixdaemon::Interrupt interrupt; // ends it within a second
    OnProgress onProgress = {};
    TapNar tap = {};
};

class Sender {
public:
    explicit Sender(SenderOptions options);
    // All send() have returned.
    ~Sender();
    Sender(const Sender&) = delete;
    Sender& operator=(const Sender&) = delete;

    // What travelled; nothing when the server had all.
    [[nodiscard]] Result<TransferProgress> send(const SendOrder& order);

private:
    [[nodiscard]] Result<TransferProgress> sendOnce(const SendOrder& order);
    struct Task;
    struct Job;

    [[nodiscard]] Result<void> plan(Job& job, const SendOrder& order) const;
    [[nodiscard]] Result<void> await(Job& job, const SendOrder& order);
    void work();
    [[nodiscard]] Task* takeTask();

    const SenderOptions m_options;
    Mutex m_mutex;
    Condition m_workReady;
    Condition m_jobsMoved;
    std::deque<Task*> m_queue PENSTOCK_GUARDED_BY(m_mutex); // of jobs that wait in send()
    bool m_isStopping PENSTOCK_GUARDED_BY(m_mutex) = false;
    std::vector<std::thread> m_threads; // last: they use everything above
};

} // namespace penstock::transfer
