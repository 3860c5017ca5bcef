// SPDX-License-Identifier: GPL-3.0-or-later
// ShareLedger: how much machine time (slots x time) each share group has used in a sliding window, fed live by steps
// as they run. One thread, the core's; pure: time comes in with every call that may move it.
//
// What is counted. A group's charge is what it used in the window, and what it holds now times the window: with both
// parts in equal weight a burst of free slots is dealt out evenly at once, groups beyond the number of slots take
// turns, and one that was away neither makes up for it nor loses by it for longer than the window. (Use alone lets who
// comes late take everything until it has caught up; what is held alone starves by ties; expected remainders favour
// short steps.) A step wanted by several groups is charged to them in equal parts.
//
// How it stays cheap. Each group has a rate (the parts of slots that it holds). Use is the integral of the rate, added
// up when the rate changes, when a bucket ends, or when somebody asks; a running step costs nothing meanwhile. So
// start and finish cost O(1) per group of the step, key() O(1), and once per bucket O(groups). Arithmetic is exact:
// integers of 128 bits in units of 2^-16 slot x microsecond.
//
// The window is made of buckets of work::kUsageBucket in wall time, the current one and as many whole ones before it
// as the window holds; they leave one at a time. Amounts are measured by the monotonic clock: a wall clock that is set
// forward charges nobody, and one set back makes the current bucket last until it has caught up.
//
// Bounds. Groups are held by users (acquire), running steps, an operator's shares, and use in the window. Of those held
// only by use at most kIdleGroupsKept are kept; the one used longest ago goes first, and is then as if it were new.
#pragma once

#include "server/work/changes.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace penstock::sched {

using ShareGroupIndex = std::uint32_t; // valid while the group is held
struct ShareTicket { // one running step, from started() to finished()
    std::uint32_t index = 0;
};

struct ShareUse {
    std::string group;
    std::uint32_t shares = work::kDefaultShares;
    Duration used{0};          // in the window, running steps included as far as they have run
    std::uint64_t running = 0; // steps
};

class ShareLedger {
public:
    static constexpr std::size_t kIdleGroupsKept = 50'000;

    explicit ShareLedger(Duration window, std::size_t idleGroupsKept = kIdleGroupsKept);

    // Rows of the store, once, before the first step starts. Those outside the window, in the future or not positive
    // are left out.
    void load(std::span<const work::UsageRow> rows, Now now);

    [[nodiscard]] ShareGroupIndex acquire(const std::string& name); // counts one user
    void release(ShareGroupIndex group);
    // The group is kept from now on. Zero counts as one.
    void setShares(ShareGroupIndex group, std::uint32_t shares);

    // groups: distinct and held; nobody is charged when there are none. They are held until the step has finished.
    [[nodiscard]] ShareTicket started(std::span<const ShareGroupIndex> groups, std::uint32_t slots, Now now);
    void finished(ShareTicket ticket, Now now);
    // To be called about once a second. Time never goes back: an older Now counts as the last one.
    void advance(Now now);

    // Smaller: the group goes first. Its charge in 1/1024 microseconds per share, as of the last call that had a Now.
    [[nodiscard]] std::uint64_t key(ShareGroupIndex group) const;
    // Rows that changed since the last call, with their whole amounts, as of the last call that had a Now. Rows that
    // left the window are not told.
    [[nodiscard]] std::vector<work::UsageRow> takeDirty();

    [[nodiscard]] ShareUse view(ShareGroupIndex group) const;
    [[nodiscard]] std::vector<ShareUse> views() const; // of all groups, by name

private:
    __extension__ using Amount = __int128; // 2^-16 slot x microsecond; 64 bits hold a day of only 3,200 slots
    struct Bucket {
        std::int64_t number = 0; // its beginning / work::kUsageBucket
        Amount used = 0;
    };
    struct Group {
        const std::string* name = nullptr; // the key in m_index; null when free
        std::uint64_t users = 0;           // acquired and running
        std::uint64_t running = 0;
        std::uint32_t shares = work::kDefaultShares;
        bool pinned = false; // an operator has set the shares
        std::vector<Bucket> buckets = {}; // ascending, none empty
        Amount used = 0;             // of all buckets
        Amount rate = 0;             // parts of slots held now
        Instant accrued = {};        // up to when the rate is in the buckets
        std::optional<std::int64_t> dirtyFrom = {}; // this bucket and all later ones
        std::optional<std::int64_t> idleSince = {}; // its last bucket, while only use holds it
    };
    struct Running {
        std::uint32_t slots = 0;
        bool inUse = false;
        std::vector<ShareGroupIndex> groups;
    };

    void moveTo(Now now);
    void turnBucket(Now now, std::int64_t bucket);
    void accrue(ShareGroupIndex index, Now now);
    void expire(ShareGroupIndex index, std::int64_t first);
    void settle(ShareGroupIndex index);
    void forget(ShareGroupIndex index);
    [[nodiscard]] ShareGroupIndex intern(const std::string& name);
    [[nodiscard]] std::int64_t firstBucket(std::int64_t current) const { return current - m_buckets; }
    [[nodiscard]] Amount accruing(const Group& group) const;
    [[nodiscard]] static Amount partOf(const Running& running, std::size_t position);

    Duration m_window;
    std::int64_t m_buckets; // whole ones before the current one
    std::size_t m_idleGroupsKept;
    Now m_now{};
    std::int64_t m_bucket = 0; // the current one

    std::map<std::string, ShareGroupIndex> m_index;
    std::vector<Group> m_groups;
    std::vector<ShareGroupIndex> m_freeGroups;
    std::vector<Running> m_running;
    std::vector<std::uint32_t> m_freeTickets;
    std::set<ShareGroupIndex> m_busy;                        // rate > 0
    std::set<ShareGroupIndex> m_dirty;
    std::set<std::pair<std::int64_t, ShareGroupIndex>> m_idle; // by the last bucket
};

} // namespace penstock::sched
