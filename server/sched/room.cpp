// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/sched/room.h"

#include "server/sched/order.h"
#include "shared/base/check.h"

#include <algorithm>

namespace penstock::sched {
namespace {

std::uint64_t amountOf(const std::map<std::string, std::uint64_t>& amounts, const std::string& name)
{
    const auto found = amounts.find(name);
    return found == amounts.end() ? 0 : found->second;
}

} // namespace

AskIndex Asks::acquire(Ask ask)
{
    ask.reserved.cpus = std::max(ask.reserved.cpus, 1U);
    const auto [found, isNew] = m_index.try_emplace(std::move(ask), AskIndex{0});
    if (isNew) {
        if (m_free.empty()) {
            m_free.push_back(static_cast<AskIndex>(m_entries.size()));
            m_entries.emplace_back();
        }
        found->second = m_free.back();
        m_free.pop_back();
        m_entries[found->second].ask = &found->first;
    }
    ++m_entries[found->second].users;
    return found->second;
}

void Asks::release(AskIndex index)
{
    Entry& entry = m_entries[index];
    PENSTOCK_CHECK(entry.users > 0);
    if (--entry.users > 0)
        return;
    m_index.erase(m_index.find(*entry.ask));
    entry.ask = nullptr;
    m_free.push_back(index);
}

void Room::take(const Ask& ask)
{
    ++m_slots;
    m_unknown += ask.expectedCpus == 0 ? 1U : 0U;
    m_expected += ask.expectedCpus;
    m_taken.cpus += ask.reserved.cpus;
    m_taken.memoryBytes += ask.memoryBytes();
    for (const auto& [name, amount] : ask.reserved.named)
        m_taken.named[name] += amount;
}

void Room::give(const Ask& ask)
{
    PENSTOCK_CHECK(m_slots > 0 && m_taken.cpus >= ask.reserved.cpus && m_expected >= ask.expectedCpus);
    --m_slots;
    m_unknown -= ask.expectedCpus == 0 ? 1U : 0U;
    m_expected -= ask.expectedCpus;
    m_taken.cpus -= ask.reserved.cpus;
    m_taken.memoryBytes -= ask.memoryBytes();
    for (const auto& [name, amount] : ask.reserved.named) {
        const auto found = m_taken.named.find(name);
        PENSTOCK_CHECK(found != m_taken.named.end() && found->second >= amount);
        if ((found->second -= amount) == 0)
            m_taken.named.erase(found);
    }
}

bool Room::hasAny() const
{
    return slotsTaken() < m_capacity.slots && m_taken.cpus + m_foreign < m_capacity.resources.cpus &&
           (m_capacity.busyCpus == 0 || m_slots == 0 || expectedCpus() < m_capacity.busyCpus);
}

bool Room::fits(const Ask& ask) const
{
    const work::Resources& all = m_capacity.resources;
    const work::Resources& wanted = ask.reserved;
    if (slotsTaken() >= m_capacity.slots || std::uint64_t{m_taken.cpus} + m_foreign + wanted.cpus > all.cpus)
        return false;
    // An empty machine takes one step however much that is expected to use, unless others keep it busy.
    const std::uint64_t expected = ask.expectedCpus == 0 ? m_capacity.unknownCpus : ask.expectedCpus;
    if (m_capacity.busyCpus != 0 && expectedCpus() + expected > m_capacity.busyCpus &&
        (m_slots > 0 || m_foreignCpus >= m_capacity.busyCpus))
        return false;
    // Likewise of memory; on an empty machine only what was asked for counts.
    const std::uint64_t memory = slotsTaken() > 0 ? ask.memoryBytes() : wanted.memoryBytes;
    if (all.memoryBytes != 0 && memory != 0 && m_taken.memoryBytes + memory > all.memoryBytes)
        return false;
    return std::all_of(wanted.named.begin(), wanted.named.end(), [&](const auto& amount) {
        return amountOf(m_taken.named, amount.first) + amount.second <= amountOf(all.named, amount.first);
    });
}

bool Room::couldFit(const Ask& ask) const
{
    const work::Resources& all = m_capacity.resources;
    const work::Resources& wanted = ask.reserved;
    if (m_capacity.slots == 0 || wanted.cpus > all.cpus ||
        (all.memoryBytes != 0 && wanted.memoryBytes > all.memoryBytes))
        return false;
    return std::all_of(wanted.named.begin(), wanted.named.end(),
                       [&](const auto& amount) { return amount.second <= amountOf(all.named, amount.first); });
}

std::uint32_t Room::takenPart() const
{
    const work::Resources& all = m_capacity.resources;
    std::uint32_t part = std::max(partOf(std::uint64_t{m_taken.cpus} + m_foreign, all.cpus),
                                  partOf(slotsTaken(), m_capacity.slots));
    if (m_capacity.busyCpus != 0)
        part = std::max(part, partOf(expectedCpus(), m_capacity.busyCpus));
    if (all.memoryBytes != 0)
        part = std::max(part, partOf(m_taken.memoryBytes, all.memoryBytes));
    return part;
}

std::uint32_t Room::slotsFree() const
{
    return m_capacity.slots - std::min(slotsTaken(), m_capacity.slots);
}

} // namespace penstock::sched
