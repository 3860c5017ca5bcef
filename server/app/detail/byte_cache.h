// SPDX-License-Identifier: GPL-3.0-or-later
// ByteCache: values by name, of which the least recently used go when they have more than so many bytes together. What
// alone has more is not kept. Value, one thread.
#pragma once

#include <cstddef>
#include <iterator>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace penstock::app::detail {

template <class T> class ByteCache {
public:
    using Value = std::shared_ptr<const T>;

    explicit ByteCache(std::size_t maxBytes) : m_maxBytes(maxBytes) {}

    [[nodiscard]] Value find(std::string_view key)
    {
        const auto found = m_index.find(key);
        if (found == m_index.end())
            return nullptr;
        m_entries.splice(m_entries.begin(), m_entries, found->second);
        return found->second->value;
    }
    // bytes: of the value alone.
    void put(std::string key, Value value, std::size_t bytes)
    {
        if (const auto found = m_index.find(key); found != m_index.end())
            drop(found->second);
        bytes += key.size() + kEntryBytes;
        if (bytes > m_maxBytes)
            return;
        while (m_bytes + bytes > m_maxBytes)
            drop(std::prev(m_entries.end()));
        m_entries.push_front({std::move(key), std::move(value), bytes});
        m_index.emplace(m_entries.front().key, m_entries.begin());
        m_bytes += bytes;
    }
    [[nodiscard]] std::size_t bytes() const { return m_bytes; }
    [[nodiscard]] std::size_t size() const { return m_entries.size(); }

private:
    struct Entry {
        std::string key;
        Value value;
        std::size_t bytes;
    };
    using Entries = std::list<Entry>;
    static constexpr std::size_t kEntryBytes = 160; // of a list, an index and a shared value

    void drop(typename Entries::iterator entry)
    {
        m_bytes -= entry->bytes;
        m_index.erase(entry->key);
        m_entries.erase(entry);
    }

    std::size_t m_maxBytes;
    std::size_t m_bytes = 0;
    Entries m_entries; // the most recently used first
    std::unordered_map<std::string_view, typename Entries::iterator> m_index; // into the entries' own keys
};

} // namespace penstock::app::detail
