// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/further_stores.h"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

namespace penstock::app {
namespace {

constexpr Duration kFaultWait = std::chrono::seconds(30); // when the queue itself cannot be read

} // namespace

Result<std::unique_ptr<FurtherStores>> FurtherStores::open(const std::string& directory, cache::OutputStore& first,
                                                           std::vector<NamedStore> further, const Clock& clock,
                                                           Logger& logger)
{
    std::vector<std::string> uris;
    for (const auto& each : further)
        uris.push_back(each.uri);
    PENSTOCK_TRY(auto outbox, cache::CopyOutbox::open(directory, uris, {}, logger));
    return std::unique_ptr<FurtherStores>(
        new FurtherStores(std::move(outbox), first, std::move(further), clock, logger));
}

FurtherStores::FurtherStores(std::unique_ptr<cache::CopyOutbox> outbox, cache::OutputStore& first,
                             std::vector<NamedStore> further, const Clock& clock, Logger& logger)
    : m_outbox(std::move(outbox)), m_first(first), m_further(std::move(further)), m_clock(clock), m_logger(logger),
      m_timers(m_further.size())
{
    for (std::size_t store = 0; store < m_further.size(); ++store)
        m_loops.push_back(std::make_unique<StdLoop>(fmt::format("copy-{}", store)));
    for (std::size_t store = 0; store < m_further.size(); ++store)
        m_loops[store]->post([this, store] { copy(store); });
}

FurtherStores::~FurtherStores()
{
    m_stopping.cancel();
    m_loops.clear();
}

Result<void> FurtherStores::add(const std::vector<nix::StorePath>& paths, const std::string& log)
{
    if (m_further.empty() || (paths.empty() && log.empty()))
        return {};
    PENSTOCK_TRY_VOID(m_outbox->add(paths, log));
    for (std::size_t store = 0; store < m_further.size(); ++store)
        m_loops[store]->post([this, store] { copy(store); });
    return {};
}

// One entry a turn, so that the end of the program waits for no more than that.
void FurtherStores::copy(std::size_t store)
{
    if (m_stopping.isCancelled())
        return;
    const auto copied = m_outbox->run(store, m_first, *m_further[store].store, m_clock, m_stopping);
    if (!copied) {
        m_logger.warning("outputs.copy_queue", {{"store", m_further[store].uri}, {"error", copied.error().message}});
        again(store, m_clock.now().mono + kFaultWait);
    } else if (*copied) {
        m_loops[store]->post([this, store] { copy(store); });
    } else if (const auto due = m_outbox->queue(store).nextDue()) {
        again(store, *due);
    }
}

// One timer a store, however often it is woken in between.
void FurtherStores::again(std::size_t store, Instant at)
{
    m_loops[store]->cancel(std::exchange(m_timers[store], 0));
    m_timers[store] = m_loops[store]->postAt(at, [this, store] { copy(store); });
}

std::vector<nix::StorePath> FurtherStores::waiting(std::size_t most)
{
    std::vector<nix::StorePath> paths;
    for (std::size_t store = 0; store < m_further.size(); ++store) {
        const auto listed = m_outbox->queue(store).list(0, most);
        if (!listed)
            continue; // counted and logged where it is copied
        for (const auto& each : *listed)
            paths.insert(paths.end(), each.entry.paths.begin(), each.entry.paths.end());
    }
    std::sort(paths.begin(), paths.end());
    paths.erase(std::unique(paths.begin(), paths.end()), paths.end());
    if (paths.size() > most)
        paths.erase(paths.begin() + static_cast<std::ptrdiff_t>(most), paths.end());
    return paths;
}

} // namespace penstock::app
