// SPDX-License-Identifier: GPL-3.0-or-later
// Interner: equal values once, counted by their users. What thousands of steps or jobs have in common costs each of
// them one number. One thread.
#pragma once

#include "shared/base/check.h"

#include <cstdint>
#include <map>
#include <vector>

namespace penstock::core::detail {

template <class Value> class Interner {
public:
    using Index = std::uint32_t;

    [[nodiscard]] Index acquire(const Value& value)
    {
        const auto [found, isNew] = m_index.try_emplace(value, Index{0});
        if (isNew) {
            if (m_free.empty()) {
                m_free.push_back(static_cast<Index>(m_entries.size()));
                m_entries.emplace_back();
            }
            found->second = m_free.back();
            m_free.pop_back();
            m_entries[found->second].value = &found->first;
        }
        ++m_entries[found->second].users;
        return found->second;
    }
    // The same; found at once when it is what this one in use stands for.
    [[nodiscard]] Index acquireLike(Index index, const Value& value)
    {
        if (at(index) != value)
            return acquire(value);
        ++m_entries[index].users;
        return index;
    }
    void release(Index index)
    {
        Entry& entry = m_entries[index];
        PENSTOCK_CHECK(entry.users > 0);
        if (--entry.users > 0)
            return;
        m_index.erase(m_index.find(*entry.value));
        entry.value = nullptr;
        m_free.push_back(index);
    }
    [[nodiscard]] std::uint64_t users(Index index) const { return m_entries[index].users; }
    [[nodiscard]] const Value& at(Index index) const
    {
        PENSTOCK_CHECK(index < m_entries.size() && m_entries[index].value != nullptr);
        return *m_entries[index].value;
    }

private:
    struct Entry {
        const Value* value = nullptr; // the key in m_index; null when free
        std::uint64_t users = 0;
    };
    std::map<Value, Index> m_index;
    std::vector<Entry> m_entries;
    std::vector<Index> m_free;
};

} // namespace penstock::core::detail
