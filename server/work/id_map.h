// SPDX-License-Identifier: GPL-3.0-or-later
// IdMap: values by id, for ids that are given out in ascending order. Pages of 64 ids keep the cost of an entry to
// one pointer beside the value itself, lookups short, and iteration ascending, so that order may reach decisions.
// Pointers and references stay valid until their entry is erased. One thread.
#pragma once

#include "shared/base/check.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>

namespace penstock::work {

template <class IdType, class T> class IdMap {
public:
    [[nodiscard]] T* find(IdType id)
    {
        Page* page = pageOf(id);
        return page == nullptr ? nullptr : page->slots[slotOf(id)].get();
    }
    [[nodiscard]] const T* find(IdType id) const
    {
        const Page* page = pageOf(id);
        return page == nullptr ? nullptr : page->slots[slotOf(id)].get();
    }
    // The entry must exist.
    [[nodiscard]] T& at(IdType id)
    {
        T* value = find(id);
        PENSTOCK_CHECK(value != nullptr);
        return *value;
    }
    [[nodiscard]] const T& at(IdType id) const
    {
        const T* value = find(id);
        PENSTOCK_CHECK(value != nullptr);
        return *value;
    }
    // The entry must not exist.
    T& insert(IdType id, T value)
    {
        const std::uint64_t key = id.value() >> kPageBits;
        Page& page = m_pages[key];
        std::unique_ptr<T>& slot = page.slots[slotOf(id)];
        PENSTOCK_CHECK(slot == nullptr);
        slot = std::make_unique<T>(std::move(value));
        ++page.used;
        ++m_size;
        return *slot;
    }
    // False when there is none.
    bool erase(IdType id)
    {
        const auto found = m_pages.find(id.value() >> kPageBits);
        if (found == m_pages.end() || found->second.slots[slotOf(id)] == nullptr)
            return false;
        found->second.slots[slotOf(id)].reset();
        --m_size;
        if (--found->second.used == 0) {
            m_cached = nullptr;
            m_pages.erase(found);
        }
        return true;
    }
    [[nodiscard]] std::size_t size() const { return m_size; }
    [[nodiscard]] bool isEmpty() const { return m_size == 0; }

    // Ascending. visit(id, value); nothing may be inserted or erased meanwhile.
    template <class Visit> void forEach(Visit visit) const
    {
        for (const auto& [key, page] : m_pages)
            for (std::size_t i = 0; i < kPageSize; ++i)
                if (page.slots[i] != nullptr)
                    visit(IdType((key << kPageBits) | i), std::as_const(*page.slots[i]));
    }
    template <class Visit> void forEach(Visit visit)
    {
        for (auto& [key, page] : m_pages)
            for (std::size_t i = 0; i < kPageSize; ++i)
                if (page.slots[i] != nullptr)
                    visit(IdType((key << kPageBits) | i), *page.slots[i]);
    }
    // Ascending from an id on, until visit returns false. The last id visited; 0 when there was none.
    template <class Visit> IdType forEachFrom(IdType from, Visit visit) const
    {
        IdType last(0);
        for (auto at = m_pages.lower_bound(from.value() >> kPageBits); at != m_pages.end(); ++at)
            for (std::size_t i = 0; i < kPageSize; ++i) {
                const IdType id((at->first << kPageBits) | i);
                if (id < from || at->second.slots[i] == nullptr)
                    continue;
                last = id;
                if (!visit(id, std::as_const(*at->second.slots[i])))
                    return last;
            }
        return last;
    }
    // Descending, until visit returns false.
    template <class Visit> void forEachBackwards(Visit visit) const
    {
        for (auto at = m_pages.rbegin(); at != m_pages.rend(); ++at)
            for (std::size_t i = kPageSize; i-- > 0;)
                if (at->second.slots[i] != nullptr &&
                    !visit(IdType((at->first << kPageBits) | i), std::as_const(*at->second.slots[i])))
                    return;
    }

private:
    static constexpr unsigned kPageBits = 6;
    static constexpr std::size_t kPageSize = std::size_t{1} << kPageBits;

    struct Page {
        std::array<std::unique_ptr<T>, kPageSize> slots;
        std::size_t used = 0;
    };

    [[nodiscard]] static std::size_t slotOf(IdType id)
    {
        return static_cast<std::size_t>(id.value() & (kPageSize - 1));
    }
    // Neighbouring ids are asked for together, so the last page is remembered.
    [[nodiscard]] Page* pageOf(IdType id) const
    {
        const std::uint64_t key = id.value() >> kPageBits;
        if (m_cached != nullptr && m_cachedKey == key)
            return m_cached;
        const auto found = m_pages.find(key);
        if (found == m_pages.end())
            return nullptr;
        m_cachedKey = key;
        m_cached = &found->second;
        return m_cached;
    }

    mutable std::map<std::uint64_t, Page> m_pages;
    mutable Page* m_cached = nullptr;
    mutable std::uint64_t m_cachedKey = 0;
    std::size_t m_size = 0;
};

} // namespace penstock::work
