// SPDX-License-Identifier: GPL-3.0-or-later
// Room: what a machine has and what of it is taken, in slots, cpus, memory and named amounts; and Asks, each distinct
// wish once, so that a hundred thousand equal steps share one entry. Integers. One thread.
#pragma once

#include "server/work/spec.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace penstock::sched {

using AskIndex = std::uint32_t;

// A step takes a slot, and this. What is asked for is reserved on every machine, and one that has less never takes the
// step. What it is expected to use is a guess that machines told us: it counts beside other steps, and an empty machine
// takes one step however much that is expected to use. Memory of 0 takes none that is counted.
struct Ask {
    work::Resources reserved;              // at least one cpu
    std::uint32_t expectedCpus = 0;        // where load counts; at least those reserved; 0: none, the machine guesses
    std::uint64_t expectedMemoryBytes = 0; // less than what is reserved says nothing; at most 2^51
    [[nodiscard]] std::uint64_t memoryBytes() const { return std::max(reserved.memoryBytes, expectedMemoryBytes); }
    friend auto operator<=>(const Ask&, const Ask&) = default;
};

class Asks {
public:
    [[nodiscard]] AskIndex acquire(Ask ask); // counted; cpus of 0 become 1
    void release(AskIndex index);
    [[nodiscard]] const Ask& at(AskIndex index) const { return *m_entries[index].ask; }
    [[nodiscard]] std::uint32_t cpus(AskIndex index) const { return at(index).reserved.cpus; }

private:
    struct Entry {
        const Ask* ask = nullptr; // the key in m_index; null when free
        std::uint64_t users = 0;
    };
    std::map<Ask, AskIndex> m_index;
    std::vector<Entry> m_entries;
    std::vector<AskIndex> m_free;
};

// What a machine has. Memory of 0: not known, so not counted.
struct Capacity {
    std::uint32_t slots = 0;
    work::Resources resources;
    std::uint32_t busyCpus = 0;    // that steps may be expected to use together; 0: load does not count here
    std::uint32_t unknownCpus = 1; // what a step is expected to use of which nothing is known
    friend bool operator==(const Capacity&, const Capacity&) = default;
};

class Room {
public:
    void setCapacity(Capacity capacity) { m_capacity = std::move(capacity); }
    // Taken by what is not ours: attempts that are over for us, and cpus that somebody else keeps busy.
    void setForeign(std::uint32_t slots, std::uint32_t cpus)
    {
        m_foreign = slots;
        m_foreignCpus = cpus;
    }
    void take(const Ask& ask);
    void give(const Ask& ask);

    [[nodiscard]] bool fits(const Ask& ask) const;     // beside what is taken
    [[nodiscard]] bool couldFit(const Ask& ask) const; // on the empty machine; what is expected does not count
    [[nodiscard]] bool hasAny() const;                 // for the smallest of steps
    [[nodiscard]] std::uint32_t takenPart() const; // the fullest of slots, cpus and memory, in 1/65536

    [[nodiscard]] const Capacity& capacity() const { return m_capacity; }
    [[nodiscard]] std::uint32_t slotsTaken() const { return m_slots + m_foreign; }
    [[nodiscard]] std::uint32_t slotsFree() const;
    [[nodiscard]] const work::Resources& taken() const { return m_taken; } // memory: also what is only expected
    [[nodiscard]] std::uint64_t expectedOfOurs() const
    {
        return m_expected + std::uint64_t{m_unknown} * m_capacity.unknownCpus;
    }
    [[nodiscard]] std::uint64_t expectedCpus() const { return expectedOfOurs() + m_foreignCpus; } // and of others

private:
    Capacity m_capacity;
    std::uint32_t m_foreign = 0;
    std::uint32_t m_foreignCpus = 0;
    std::uint32_t m_slots = 0;
    std::uint32_t m_unknown = 0; // steps of which nothing is known
    std::uint64_t m_expected = 0; // cpus, of the others
    work::Resources m_taken; // named amounts of zero are left out; memory as in Ask::memoryBytes()
};

} // namespace penstock::sched
