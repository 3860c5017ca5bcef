// SPDX-License-Identifier: GPL-3.0-or-later
// Room: what a machine has and what of it is taken, in slots, cpus, memory and named amounts; and Asks, each distinct
// wish once, so that a hundred thousand equal steps share one entry. Integers. One thread.
#pragma once

#include "server/work/spec.h"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace penstock::sched {

using AskIndex = std::uint32_t;

// A step takes a slot, and these. Cpus of 0: nobody knows how many, so the machine's guess counts; memory of 0 takes
// none that is counted.
class Asks {
public:
    [[nodiscard]] AskIndex acquire(work::Resources resources); // counted
    void retain(AskIndex index) { ++m_entries[index].users; }
    void release(AskIndex index);
    [[nodiscard]] const work::Resources& at(AskIndex index) const { return *m_entries[index].ask; }
    // At least one: what counts against the limits of gates, and for shares.
    [[nodiscard]] std::uint32_t cpus(AskIndex index) const { return at(index).cpus == 0 ? 1 : at(index).cpus; }

private:
    struct Entry {
        const work::Resources* ask = nullptr; // the key in m_index; null when free
        std::uint64_t users = 0;
    };
    std::map<work::Resources, AskIndex> m_index;
    std::vector<Entry> m_entries;
    std::vector<AskIndex> m_free;
};

// What a machine has. Memory of 0: not known, so not counted.
struct Capacity {
    std::uint32_t slots = 0;
    std::uint32_t unknownCpus = 1; // what a step is expected to use of which nothing is known
    work::Resources resources;
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
    void take(const work::Resources& ask);
    void give(const work::Resources& ask);

    [[nodiscard]] bool fits(const work::Resources& ask) const;     // beside what is taken
    [[nodiscard]] bool couldFit(const work::Resources& ask) const; // on the empty machine
    [[nodiscard]] bool hasAny() const;                             // for the smallest of steps
    [[nodiscard]] std::uint32_t takenPart() const; // the fullest of slots, cpus and memory, in 1/65536

    [[nodiscard]] const Capacity& capacity() const { return m_capacity; }
    [[nodiscard]] std::uint32_t slotsTaken() const { return m_slots + m_foreign; }
    [[nodiscard]] std::uint32_t slotsFree() const;
    [[nodiscard]] work::Resources taken() const;                 // by ours
    [[nodiscard]] std::uint64_t cpusTaken() const;               // by ours and others

private:
    Capacity m_capacity;
    std::uint32_t m_foreign = 0;
    std::uint32_t m_foreignCpus = 0;
    std::uint32_t m_slots = 0;
    std::uint32_t m_unknown = 0; // steps that take unknownCpus each
    work::Resources m_taken;     // by the others; named amounts of zero are left out
};

} // namespace penstock::sched
