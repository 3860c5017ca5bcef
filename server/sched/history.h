// SPDX-License-Identifier: GPL-3.0-or-later
// History: what steps of one name needed before, and so what the next one is expected to need. Fed by attempts that
// succeeded. One thread, the core's; pure: time comes in with what is recorded.
//
// Rules, all in integers. Duration: moving average, a new run weighs 1/4, the first is taken whole; from the fourth run
// on one run counts as at most four times more or less than expected, so that one stuck machine does not spoil it.
// Memory: the largest recent peak (each run takes 1/8 off older ones), plus 20 %, rounded up to 2^k or 1.5 x 2^k, so
// that few distinct requests exist. Cpus: cpu time / duration, averaged as the duration is and rounded up; moves only
// when it is clearly past the next whole number, so that requests do not flutter.
//
// Bound: the names that ran last, work::kHistoryKept of them, the oldest goes first. About 130 bytes a name: entries
// point at each other by number for the order of age, and a table of numbers finds them by the hash of the name.
// All operations are O(1) on average; no iteration follows the hash, so order never depends on it.
#pragma once

#include "server/work/changes.h"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::sched {

inline constexpr std::size_t kHistoryNameBytes = 128;

// The name without its version, as Nix splits it (libstore DrvName): up to the first '-' that is followed by something
// other than a letter. "gcc-12.2.0": "gcc"; plain words stay. Bytes of other alphabets count as letters; a name that
// is nothing but a version stays whole; at most kHistoryNameBytes, cut between characters. A view of the argument.
[[nodiscard]] std::string_view historyKey(std::string_view name);

struct RunFacts { // of an attempt that succeeded; zero: was not measured
    Duration duration{0};
    Duration cpuTime{0}; // user and system
    std::uint64_t maxRssBytes = 0;
};

struct Estimate {
    Duration duration{0};          // zero: not known
    std::uint64_t memoryBytes = 0; // on the grid; zero: not known
    std::uint32_t cpus = 1;
    friend bool operator==(const Estimate&, const Estimate&) = default;
};

class History {
public:
    explicit History(std::size_t namesKept = work::kHistoryKept);

    // Rows of the store, once, before anything is recorded; of too many the latest runs stay. Those that make no sense
    // are left out.
    void load(std::span<const work::HistoryRow> rows);

    // name: of the step, with its version.
    void record(std::string_view name, const RunFacts& facts, WallTime now);
    [[nodiscard]] std::optional<Estimate> estimate(std::string_view name) const;

    // Rows whose estimate is new or has moved by more than 10 % since they were last here or were loaded, in the order
    // in which that happened.
    [[nodiscard]] std::vector<work::HistoryRow> takeDirty();

    [[nodiscard]] std::size_t size() const { return m_size; }

private:
    using EntryIndex = std::uint32_t;
    static constexpr EntryIndex kNone = UINT32_MAX;
    struct Entry {
        std::unique_ptr<char[]> letters; // historyKey, without an end; null when free
        Duration duration{0};
        std::uint64_t peakBytes = 0;
        WallTime lastRun;
        Duration savedDuration{0};
        std::uint32_t runs = 0;
        std::uint32_t milliCpus = 0;
        EntryIndex older = kNone; // by last run; of a free one: the next free one
        EntryIndex newer = kNone;
        std::uint16_t cpus = 1;
        std::uint16_t savedCpus = 0; // none saved yet
        std::uint8_t savedMemory = 0; // step of the grid
        std::uint8_t length = 0;      // of the name, at most kHistoryNameBytes
        bool isDirty = false;         // is in m_dirty
        [[nodiscard]] std::string_view name() const { return {letters.get(), length}; }
    };
    static_assert(sizeof(Entry) <= 72, "a hundred thousand of these are kept");
    struct Slot {
        EntryIndex index = kNone;
        std::uint32_t hash = 0; // of the name, so that few names are compared and none when the table grows
    };

    [[nodiscard]] std::size_t slotOf(std::string_view key) const; // where it is, or would be
    [[nodiscard]] EntryIndex find(std::string_view key) const { return m_table[slotOf(key)].index; }
    [[nodiscard]] EntryIndex add(std::string_view key);
    void evictOldest();
    void eraseSlot(std::size_t slot);
    void grow();
    void linkNewest(EntryIndex index);
    void unlink(EntryIndex index);
    void noteChange(EntryIndex index);

    std::size_t m_namesKept;
    std::size_t m_size = 0;
    std::deque<Entry> m_entries;
    std::vector<Slot> m_table; // open addressing, a power of two, at most 7/8 full
    std::vector<EntryIndex> m_dirty;
    EntryIndex m_firstFree = kNone;
    EntryIndex m_oldest = kNone;
    EntryIndex m_newest = kNone;
};

} // namespace penstock::sched
