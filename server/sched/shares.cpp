// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/sched/shares.h"

#include "shared/base/check.h"

#include <algorithm>
#include <iterator>
#include <limits>

namespace penstock::sched {
namespace {

constexpr int kPartBits = 16; // one slot is 2^16 parts, so that many groups can share it
constexpr int kKeyBits = 10;  // a key counts 2^-10 microseconds
constexpr std::int64_t kBucketMicros = work::kUsageBucket.count();

// Rounded down, also before 1970.
std::int64_t bucketOf(std::int64_t micros)
{
    const std::int64_t quotient = micros / kBucketMicros;
    return micros % kBucketMicros < 0 ? quotient - 1 : quotient;
}

std::int64_t wholeBuckets(Duration window)
{
    return std::max<std::int64_t>(window.count(), 1) / kBucketMicros +
           (std::max<std::int64_t>(window.count(), 1) % kBucketMicros == 0 ? 0 : 1);
}

template <class Amount> Duration micros(Amount amount)
{
    const Amount whole = amount >> kPartBits;
    constexpr auto kMost = std::numeric_limits<std::int64_t>::max();
    return Duration(whole > kMost ? kMost : static_cast<std::int64_t>(whole));
}

} // namespace

ShareLedger::ShareLedger(Duration window, std::size_t idleGroupsKept)
    : m_window(std::max(window, Duration(0))), m_buckets(wholeBuckets(window)), m_idleGroupsKept(idleGroupsKept)
{
}

// ------------------------------------------------------------------------------------------------------ groups

ShareGroupIndex ShareLedger::intern(const std::string& name)
{
    const auto [found, isNew] = m_index.try_emplace(name, ShareGroupIndex{0});
    if (isNew) {
        if (m_freeGroups.empty()) {
            m_freeGroups.push_back(static_cast<ShareGroupIndex>(m_groups.size()));
            m_groups.emplace_back();
        }
        found->second = m_freeGroups.back();
        m_freeGroups.pop_back();
        m_groups[found->second].name = &found->first;
    }
    return found->second;
}

ShareGroupIndex ShareLedger::acquire(const std::string& name)
{
    const ShareGroupIndex index = intern(name);
    ++m_groups[index].users;
    settle(index);
    return index;
}

void ShareLedger::release(ShareGroupIndex index)
{
    PENSTOCK_CHECK(index < m_groups.size() && m_groups[index].users > m_groups[index].running);
    --m_groups[index].users;
    settle(index);
}

void ShareLedger::setShares(ShareGroupIndex index, std::uint32_t shares)
{
    PENSTOCK_CHECK(index < m_groups.size() && m_groups[index].name != nullptr);
    Group& group = m_groups[index];
    const std::uint32_t wanted = std::max(shares, 1U);
    group.shares = wanted;
    group.pinned = true;
    settle(index);
}

// Decides by what a group is held: users and shares, only use, or nothing any more.
void ShareLedger::settle(ShareGroupIndex index)
{
    Group& group = m_groups[index];
    const bool isHeld = group.users > 0 || group.pinned;
    if (!isHeld && group.buckets.empty()) {
        forget(index);
        return;
    }
    std::optional<std::int64_t> wanted;
    if (!isHeld)
        wanted = group.buckets.back().number;
    if (wanted != group.idleSince) {
        if (group.idleSince)
            m_idle.erase({*group.idleSince, index});
        if (wanted)
            m_idle.insert({*wanted, index});
        group.idleSince = wanted;
    }
    while (m_idle.size() > m_idleGroupsKept)
        forget(m_idle.begin()->second);
}

void ShareLedger::forget(ShareGroupIndex index)
{
    Group& group = m_groups[index];
    if (group.idleSince)
        m_idle.erase({*group.idleSince, index});
    m_dirty.erase(index);
    m_index.erase(m_index.find(*group.name));
    group = Group{};
    m_freeGroups.push_back(index);
}

// -------------------------------------------------------------------------------------------------------- time

void ShareLedger::moveTo(Now now)
{
    now.mono = std::max(now.mono, m_now.mono);
    now.wall = std::max(now.wall, m_now.wall);
    const std::int64_t bucket = bucketOf(now.wall.micros());
    if (bucket != m_bucket)
        turnBucket(now, bucket);
    m_now = now;
}

void ShareLedger::turnBucket(Now now, std::int64_t bucket)
{
    for (ShareGroupIndex index = 0; index < m_groups.size(); ++index) {
        if (m_groups[index].name == nullptr)
            continue;
        accrue(index, now);
        expire(index, firstBucket(bucket));
    }
    m_bucket = bucket;
}

// Puts what the rate has used since the last time into the buckets. m_bucket is still the one of that time.
void ShareLedger::accrue(ShareGroupIndex index, Now now)
{
    Group& group = m_groups[index];
    std::int64_t left = (now.mono - group.accrued).count();
    group.accrued = now.mono;
    if (group.rate == 0 || left <= 0)
        return;
    const std::int64_t current = bucketOf(now.wall.micros());
    std::int64_t at = now.wall.micros() - left;
    // Not before the last bucket that was written: when the wall clock has stood still the rest counts there.
    std::int64_t bucket = std::max(bucketOf(at), m_bucket);
    if (const std::int64_t first = firstBucket(current); bucket < first) {
        left -= first * kBucketMicros - at; // has left the window already
        at = first * kBucketMicros;
        bucket = first;
    }
    if (left > 0 && !group.dirtyFrom) { // buckets are written in their order, so the first one counts
        m_dirty.insert(index);
        group.dirtyFrom = bucket;
    }
    for (; left > 0; ++bucket) {
        const std::int64_t part = bucket == current ? left : std::min(left, (bucket + 1) * kBucketMicros - at);
        if (group.buckets.empty() || group.buckets.back().number != bucket)
            group.buckets.push_back({bucket, 0});
        group.buckets.back().used += group.rate * part;
        group.used += group.rate * part;
        at += part;
        left -= part;
    }
}

void ShareLedger::expire(ShareGroupIndex index, std::int64_t first)
{
    Group& group = m_groups[index];
    auto end = group.buckets.begin();
    for (; end != group.buckets.end() && end->number < first; ++end)
        group.used -= end->used;
    if (end == group.buckets.begin())
        return;
    group.buckets.erase(group.buckets.begin(), end);
    settle(index);
}

void ShareLedger::advance(Now now)
{
    moveTo(now);
}

// ------------------------------------------------------------------------------------------------------- steps

// Equal parts; what does not divide goes to the first ones, one each.
ShareLedger::Amount ShareLedger::partOf(const Running& running, std::size_t position)
{
    const Amount all = Amount{running.slots} << kPartBits;
    const auto count = static_cast<Amount>(running.groups.size());
    return all / count + (static_cast<Amount>(position) < all % count ? 1 : 0);
}

ShareTicket ShareLedger::started(std::span<const ShareGroupIndex> groups, std::uint32_t slots, Now now)
{
    moveTo(now);
    if (m_freeTickets.empty()) {
        m_freeTickets.push_back(static_cast<std::uint32_t>(m_running.size()));
        m_running.emplace_back();
    }
    const std::uint32_t ticket = m_freeTickets.back();
    m_freeTickets.pop_back();
    Running& running = m_running[ticket];
    running.slots = slots;
    running.inUse = true;
    running.groups.assign(groups.begin(), groups.end());
    for (std::size_t i = 0; i < groups.size(); ++i) {
        PENSTOCK_CHECK(groups[i] < m_groups.size() && m_groups[groups[i]].name != nullptr);
        accrue(groups[i], m_now);
        Group& group = m_groups[groups[i]];
        const Amount part = partOf(running, i);
        ++group.users;
        ++group.running;
        if (group.rate == 0 && part > 0)
            m_busy.insert(groups[i]);
        group.rate += part;
        settle(groups[i]);
    }
    return {ticket};
}

void ShareLedger::finished(ShareTicket ticket, Now now)
{
    PENSTOCK_CHECK(ticket.index < m_running.size() && m_running[ticket.index].inUse);
    moveTo(now);
    Running& running = m_running[ticket.index];
    for (std::size_t i = 0; i < running.groups.size(); ++i) {
        const ShareGroupIndex index = running.groups[i];
        accrue(index, m_now);
        Group& group = m_groups[index];
        --group.users;
        --group.running;
        group.rate -= partOf(running, i);
        if (group.rate == 0)
            m_busy.erase(index);
        settle(index);
    }
    running.inUse = false;
    running.groups.clear();
    m_freeTickets.push_back(ticket.index);
}

// ----------------------------------------------------------------------------------------------------- answers

ShareLedger::Amount ShareLedger::accruing(const Group& group) const
{
    return group.rate * (m_now.mono - group.accrued).count();
}

std::uint64_t ShareLedger::key(ShareGroupIndex index) const
{
    PENSTOCK_CHECK(index < m_groups.size() && m_groups[index].name != nullptr);
    const Group& group = m_groups[index];
    const Amount charge = group.used + accruing(group) + group.rate * m_window.count();
    const Amount perShare = (charge >> (kPartBits - kKeyBits)) / group.shares;
    constexpr auto kMost = std::numeric_limits<std::uint64_t>::max();
    return perShare > Amount{kMost} ? kMost : static_cast<std::uint64_t>(perShare);
}

ShareUse ShareLedger::view(ShareGroupIndex index) const
{
    PENSTOCK_CHECK(index < m_groups.size() && m_groups[index].name != nullptr);
    const Group& group = m_groups[index];
    return {.group = *group.name,
            .shares = group.shares,
            .used = micros(group.used + accruing(group)),
            .running = group.running};
}

std::vector<ShareUse> ShareLedger::views() const
{
    std::vector<ShareUse> all;
    all.reserve(m_index.size());
    for (const auto& [name, index] : m_index)
        all.push_back(view(index));
    return all;
}

// ------------------------------------------------------------------------------------------------- persistence

void ShareLedger::load(std::span<const work::UsageRow> rows, Now now)
{
    moveTo(now);
    for (const work::UsageRow& row : rows) {
        const std::int64_t number = bucketOf(row.bucket.micros());
        if (number < firstBucket(m_bucket) || number > m_bucket || row.used.count() <= 0)
            continue;
        const ShareGroupIndex index = intern(row.group);
        Group& group = m_groups[index];
        const auto isBefore = [](const Bucket& bucket, std::int64_t wanted) { return bucket.number < wanted; };
        auto at = std::lower_bound(group.buckets.begin(), group.buckets.end(), number, isBefore);
        if (at == group.buckets.end() || at->number != number)
            at = group.buckets.insert(at, {number, 0});
        const Amount amount = Amount{row.used.count()} << kPartBits;
        group.used += amount - at->used;
        at->used = amount;
        settle(index);
    }
}

std::vector<work::UsageRow> ShareLedger::takeDirty()
{
    for (const ShareGroupIndex index : m_busy)
        accrue(index, m_now);
    std::vector<work::UsageRow> rows;
    for (const ShareGroupIndex index : m_dirty) {
        Group& group = m_groups[index];
        const std::int64_t from = group.dirtyFrom.value_or(0);
        group.dirtyFrom.reset();
        auto at = group.buckets.end();
        while (at != group.buckets.begin() && std::prev(at)->number >= from)
            --at;
        for (; at != group.buckets.end(); ++at)
            rows.push_back({.group = *group.name,
                            .bucket = WallTime::fromMicros(at->number * kBucketMicros),
                            .used = micros(at->used)});
    }
    m_dirty.clear();
    return rows;
}

} // namespace penstock::sched
