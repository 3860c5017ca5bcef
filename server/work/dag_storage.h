// SPDX-License-Identifier: GPL-3.0-or-later
// How the Dag keeps a million nodes small: edges as 32-bit slots in one block, ids found by page, users
// sorted. Values of one thread; callers keep to the preconditions named here.
#pragma once

#include "server/work/packed_path.h"
#include "shared/base/check.h"
#include "shared/base/ids.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace penstock::work {

inline constexpr std::uint32_t kNoSlot = 0xffff'ffffU;

// Slots in the order in which they were added, in one allocation of three words and the entries; nothing when
// empty. It also counts how many of its entries stand for steps that are gone, so that its owner knows when
// to sweep.
class SlotList {
public:
    [[nodiscard]] std::span<const std::uint32_t> all() const
    {
        return m_block == nullptr ? std::span<const std::uint32_t>{}
                                  : std::span(m_block.get() + kHead, m_block[0]);
    }
    [[nodiscard]] std::uint32_t size() const { return m_block == nullptr ? 0 : m_block[0]; }
    [[nodiscard]] std::uint32_t gone() const { return m_block == nullptr ? 0 : m_block[2]; }
    void push(std::uint32_t slot)
    {
        if (m_block == nullptr || m_block[0] == m_block[1])
            reserve(size() + size() / 2 + 1);
        m_block[kHead + m_block[0]++] = slot;
    }
    // Room for so many in all.
    void reserve(std::uint32_t wanted)
    {
        const std::uint32_t room = (wanted + 4) / 4 * 4 - 1; // fills what malloc rounds up to anyway
        auto block = std::make_unique_for_overwrite<std::uint32_t[]>(kHead + room);
        const std::uint32_t count = size();
        block[0] = count;
        block[1] = room;
        block[2] = gone();
        std::copy_n(all().data(), count, block.get() + kHead);
        m_block = std::move(block);
    }
    // One entry more, which exists, stands for a step that is gone.
    void noteGone() { ++m_block[2]; }
    [[nodiscard]] bool wantsSweep() const { return m_block != nullptr && 2 * m_block[2] > m_block[0]; }
    // Drops all entries that stand for steps that are gone; the rest keep their order.
    template <class IsGone> void sweep(IsGone isGone)
    {
        std::uint32_t* const begin = m_block.get() + kHead;
        std::uint32_t* const end = std::remove_if(begin, begin + m_block[0], isGone);
        m_block[0] = static_cast<std::uint32_t>(end - begin);
        m_block[2] = 0;
        if (m_block[0] == 0)
            m_block.reset();
        else if (m_block[1] > 4 * m_block[0] + kHead)
            reserve(m_block[0]);
    }
    void clear() { m_block.reset(); }

private:
    static constexpr std::uint32_t kHead = 3; // size, capacity, gone

    std::unique_ptr<std::uint32_t[]> m_block;
};

// Slot by step id. Ids are given out in ascending order, so pages of 64 stand nearly without gaps and the
// page of an id is found from its distance to the first; where there are gaps, by binary search among those
// that it can be.
class SlotIndex {
public:
    [[nodiscard]] std::uint32_t find(StepId id) const
    {
        const std::size_t at = pageAt(id.value() >> kBits);
        if (at == m_pages.size() || m_pages[at].key != id.value() >> kBits || m_pages[at].slots == nullptr)
            return kNoSlot;
        return (*m_pages[at].slots)[id.value() & kMask];
    }
    // Not there yet.
    void insert(StepId id, std::uint32_t slot)
    {
        const std::uint64_t key = id.value() >> kBits;
        const std::size_t at = pageAt(key);
        if (at == m_pages.size() || m_pages[at].key != key) {
            m_pages.insert(m_pages.begin() + static_cast<std::ptrdiff_t>(at), Page{key, 0, nullptr});
            ++m_empty;
        }
        Page& page = m_pages[at];
        if (page.slots == nullptr) {
            page.slots = std::make_unique<Slots>();
            page.slots->fill(kNoSlot);
            --m_empty;
        }
        std::uint32_t& entry = (*page.slots)[id.value() & kMask];
        PENSTOCK_CHECK(entry == kNoSlot);
        entry = slot;
        ++page.used;
        ++m_size;
    }
    // It is there.
    void erase(StepId id)
    {
        Page& page = m_pages[pageAt(id.value() >> kBits)];
        (*page.slots)[id.value() & kMask] = kNoSlot;
        --m_size;
        if (--page.used != 0)
            return;
        page.slots.reset();
        if (2 * ++m_empty > m_pages.size()) {
            std::erase_if(m_pages, [](const Page& each) { return each.slots == nullptr; });
            m_empty = 0;
        }
    }
    [[nodiscard]] std::size_t size() const { return m_size; }
    // Ascending. visit(slot)
    template <class Visit> void forEach(Visit visit) const
    {
        for (const Page& page : m_pages)
            if (page.slots != nullptr)
                for (const std::uint32_t slot : *page.slots)
                    if (slot != kNoSlot)
                        visit(slot);
    }

private:
    static constexpr unsigned kBits = 6;
    static constexpr std::uint64_t kMask = (std::uint64_t{1} << kBits) - 1;
    using Slots = std::array<std::uint32_t, std::size_t{1} << kBits>;
    struct Page {
        std::uint64_t key;
        std::uint32_t used;
        std::unique_ptr<Slots> slots; // none when nothing is left; such pages go when they are the majority
    };

    // The first page whose key is not below.
    [[nodiscard]] std::size_t pageAt(std::uint64_t key) const
    {
        if (m_pages.empty() || key > m_pages.back().key)
            return m_pages.size();
        if (key <= m_pages.front().key)
            return 0;
        const std::size_t last = m_pages.size() - 1;
        const std::uint64_t toBack = m_pages[last].key - key;
        const std::size_t high = std::min<std::uint64_t>(key - m_pages.front().key, last);
        const std::size_t low = toBack >= last ? 0 : last - toBack;
        const auto begin = m_pages.begin();
        return static_cast<std::size_t>(
            std::lower_bound(begin + static_cast<std::ptrdiff_t>(low),
                             begin + static_cast<std::ptrdiff_t>(high), key,
                             [](const Page& page, std::uint64_t wanted) { return page.key < wanted; }) -
            begin);
    }

    std::vector<Page> m_pages; // ascending
    std::size_t m_empty = 0;   // pages
    std::size_t m_size = 0;
};

// Jobs, ascending. Ids ascend, so most come at the end; jobs end in about the order they came, so most leave
// at the front, which costs nothing either. Others move what lies behind them.
class UserList {
public:
    [[nodiscard]] std::span<const JobId> all() const { return std::span(m_jobs).subspan(m_first); }
    void add(JobId job)
    {
        if (m_jobs.size() == m_first || m_jobs.back() < job) {
            m_jobs.push_back(job);
            return;
        }
        const auto at = lowerBound(job);
        if (*at != job)
            m_jobs.insert(at, job);
    }
    void remove(JobId job)
    {
        const auto at = lowerBound(job);
        if (at == m_jobs.end() || *at != job)
            return;
        if (at != m_jobs.begin() + static_cast<std::ptrdiff_t>(m_first)) {
            m_jobs.erase(at);
        } else if (2 * ++m_first > m_jobs.size()) {
            m_jobs.erase(m_jobs.begin(), m_jobs.begin() + static_cast<std::ptrdiff_t>(m_first));
            m_first = 0;
        }
    }

private:
    [[nodiscard]] std::vector<JobId>::iterator lowerBound(JobId job)
    {
        return std::lower_bound(m_jobs.begin() + static_cast<std::ptrdiff_t>(m_first), m_jobs.end(), job);
    }

    std::vector<JobId> m_jobs;
    std::size_t m_first = 0; // those before it have left
};

// Which step stands for a key. A store path costs its hash and a digest of the rest: two paths of one hash and of
// different names do not exist, as the hash covers the name, and whoever submits paths has computed them. Looked up
// only, never iterated.
class SharedKeys {
public:
    [[nodiscard]] std::optional<StepId> find(const std::string& key) const
    {
        if (const auto path = pathKeyOf(key)) {
            const auto found = m_paths.find(*path);
            return found == m_paths.end() ? std::nullopt : std::optional(found->second);
        }
        const auto found = m_others.find(key);
        return found == m_others.end() ? std::nullopt : std::optional(found->second);
    }
    void set(const std::string& key, StepId step)
    {
        if (const auto path = pathKeyOf(key))
            m_paths.insert_or_assign(*path, step);
        else
            m_others.insert_or_assign(key, step);
    }
    void erase(const std::string& key)
    {
        if (const auto path = pathKeyOf(key))
            m_paths.erase(*path);
        else
            m_others.erase(key);
    }

private:
    struct PathKey {
        PathHash hash;
        std::uint64_t rest; // digest of directory and name
        friend bool operator==(const PathKey&, const PathKey&) = default;
    };
    struct Spread {
        std::size_t operator()(const PathKey& key) const
        {
            std::size_t front = 0;
            std::memcpy(&front, key.hash.data(), sizeof front);
            return front ^ key.rest;
        }
    };
    [[nodiscard]] static std::optional<PathKey> pathKeyOf(const std::string& key)
    {
        const std::optional<SplitPath> path = splitPath(key);
        if (!path)
            return std::nullopt;
        constexpr std::uint64_t kFactor = 0x9e37'79b9'7f4a'7c15U;
        const std::hash<std::string_view> digest;
        return PathKey{path->hash, digest(path->directory) * kFactor + digest(path->rest)};
    }

    std::unordered_map<PathKey, StepId, Spread> m_paths;
    std::unordered_map<std::string, StepId> m_others;
};

} // namespace penstock::work
