// SPDX-License-Identifier: GPL-3.0-or-later
// CopyOutbox: what was published in the first store and has still to reach the others: a CopyQueue for each,
// so that one store that is away holds up nobody else. Queues of stores that are no longer asked for stay on
// disk and are counted. Any thread; run() blocks as long as a copy takes.
#pragma once

#include "server/cache/closure_copy.h"
#include "server/cache/copy_queue.h"
#include "shared/base/log.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace penstock::cache {

struct OutboxStatus {
    std::string store; // its URI
    bool isConfigured;
    CopyQueueStatus queue;
};

class CopyOutbox {
public:
    // directory: in the data directory. stores: URIs of all but the first store.
    [[nodiscard]] static Result<std::unique_ptr<CopyOutbox>> open(const std::string& directory,
                                                                  const std::vector<std::string>& stores,
                                                                  CopyQueueOptions options, Logger& logger);

    // To every further store. Durable when it returns. paths: references first; log: base name of a .drv, or
    // empty.
    [[nodiscard]] Result<void> add(const std::vector<nix::StorePath>& paths, const std::string& log);
    [[nodiscard]] std::size_t storeCount() const { return m_queues.size(); }
    [[nodiscard]] CopyQueue& queue(std::size_t store) { return *m_queues[store].second; }

    // Copies one entry that is due to a store and notes how it went. False: nothing was due.
    [[nodiscard]] Result<bool> run(std::size_t store, OutputStore& from, OutputStore& to, const Clock& clock,
                                   const CancelToken& cancel);

    [[nodiscard]] std::vector<OutboxStatus> status();

private:
    explicit CopyOutbox(Logger& logger) : m_logger(logger) {}

    Logger& m_logger;
    std::vector<std::pair<std::string, std::unique_ptr<CopyQueue>>> m_queues; // in the order of stores
    std::vector<OutboxStatus> m_unconfigured;
};

} // namespace penstock::cache
