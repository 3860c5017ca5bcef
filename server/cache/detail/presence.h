// SPDX-License-Identifier: GPL-3.0-or-later
// Presence: what a cache is known to hold and not to hold: narinfos, and digests without one, for a time.
// What could not be found out is never kept. Bounded by count and bytes; the longest unused goes first. What was
// asked for and not there takes room only until it expires: a server asks for all outputs of a big queue at its
// start. Any thread.
#pragma once

#include "shared/base/clock.h"
#include "shared/base/mutex.h"
#include "shared/nix/narinfo.h"

#include <chrono>
#include <cstddef>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace penstock::cache {

struct PresenceOptions {
    Duration positive = std::chrono::hours(1);
    Duration negative = std::chrono::seconds(5); // zero: not kept
    std::size_t maxEntries = 200'000;
    std::size_t maxBytes = 96U << 20U;
};

namespace detail {

class Presence {
public:
    explicit Presence(PresenceOptions options) : m_options(options) {}

    // Not known; or known: an info, or null for "not there".
    [[nodiscard]] std::optional<std::shared_ptr<const nix::NarInfo>> find(std::string_view digest,
                                                                          Instant now);
    void put(std::string_view digest, std::shared_ptr<const nix::NarInfo> info,
             Instant now); // null: not there
    void forget(std::string_view digest);
    [[nodiscard]] std::size_t size();

private:
    struct Entry {
        std::string digest;
        std::shared_ptr<const nix::NarInfo> info;
        Instant expires;
        std::size_t bytes;
    };
    using Entries = std::list<Entry>;
    void drop(Entries::iterator entry) PENSTOCK_REQUIRES(m_mutex);
    void dropOne() PENSTOCK_REQUIRES(m_mutex);

    const PresenceOptions m_options;
    Mutex m_mutex;
    Entries m_present PENSTOCK_GUARDED_BY(m_mutex); // the newest used first
    Entries m_absent PENSTOCK_GUARDED_BY(m_mutex);  // the newest first; gone soon after they have expired
    std::unordered_map<std::string_view, Entries::iterator>
        m_index PENSTOCK_GUARDED_BY(m_mutex); // keys in the entries
    std::size_t m_bytes PENSTOCK_GUARDED_BY(m_mutex) = 0;
};

} // namespace detail
} // namespace penstock::cache
