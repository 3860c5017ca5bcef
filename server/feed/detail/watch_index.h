// SPDX-License-Identifier: GPL-3.0-or-later
// WatchIndex: which watches of which connections are about an id. Bounded by the watches there are. Pure.
#pragma once

#include <cstdint>
#include <set>
#include <tuple>
#include <vector>

namespace penstock::feed {

struct WatchKey {
    std::uint64_t client = 0;
    std::uint64_t watch = 0;
    friend auto operator<=>(const WatchKey&, const WatchKey&) = default;
};

template <class Id> class WatchIndex {
public:
    void add(Id id, WatchKey key) { m_entries.emplace(id, key); }
    void remove(Id id, WatchKey key) { m_entries.erase({id, key}); }
    // A copy, as those who are told may end their watch.
    [[nodiscard]] std::vector<WatchKey> of(Id id) const
    {
        std::vector<WatchKey> keys;
        for (auto at = m_entries.lower_bound({id, WatchKey{}}); at != m_entries.end() && std::get<0>(*at) == id; ++at)
            keys.push_back(std::get<1>(*at));
        return keys;
    }

private:
    std::set<std::tuple<Id, WatchKey>> m_entries;
};

} // namespace penstock::feed
