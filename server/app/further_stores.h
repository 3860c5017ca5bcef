// SPDX-License-Identifier: GPL-3.0-or-later
// FurtherStores: feeds what was published in the first store to all others, from durable queues in the data directory,
// a thread for each. A store that is away holds up nobody: its queue waits and is tried again. Any thread.
#pragma once

#include "server/cache/copy_outbox.h"
#include "server/cache/output_store.h"
#include "shared/base/cancel.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/std_loop.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace penstock::app {

struct NamedStore {
    std::string uri;
    cache::OutputStore* store;
};

class FurtherStores {
public:
    // All outlive it. Blocking; at start-up.
    [[nodiscard]] static Result<std::unique_ptr<FurtherStores>> open(const std::string& directory,
                                                                     cache::OutputStore& first,
                                                                     std::vector<NamedStore> further,
                                                                     const Clock& clock, Logger& logger);
    ~FurtherStores();

    // Durable when it returns. log: base name of a .drv, or empty.
    [[nodiscard]] Result<void> add(const std::vector<nix::StorePath>& paths, const std::string& log);
    // What still waits, for people: at most so many paths. Reads the disk.
    [[nodiscard]] std::vector<nix::StorePath> waiting(std::size_t most);
    [[nodiscard]] std::vector<cache::OutboxStatus> status() { return m_outbox->status(); }

private:
    FurtherStores(std::unique_ptr<cache::CopyOutbox> outbox, cache::OutputStore& first,
                  std::vector<NamedStore> further, const Clock& clock, Logger& logger);
    void copy(std::size_t store);
    void again(std::size_t store, Instant at);

    const std::unique_ptr<cache::CopyOutbox> m_outbox;
    cache::OutputStore& m_first;
    const std::vector<NamedStore> m_further;
    const Clock& m_clock;
    Logger& m_logger;
    const CancelToken m_stopping;
    std::vector<Loop::TimerId> m_timers; // of each store's loop, used there alone
    std::vector<std::unique_ptr<StdLoop>> m_loops; // last: their tasks use all of the above
};

} // namespace penstock::app
