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

AskIndex Asks::acquire(work::Resources resources)
{
    const auto [found, isNew] = m_index.try_emplace(std::move(resources), AskIndex{0});
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

void Room::take(const work::Resources& ask)
{
    ++m_slots;
    m_unknown += ask.cpus == 0 ? 1U : 0U;
    m_taken.cpus += ask.cpus;
    m_taken.memoryBytes += ask.memoryBytes;
    for (const auto& [name, amount] : ask.named)
        m_taken.named[name] += amount;
}

void Room::give(const work::Resources& ask)
{
    PENSTOCK_CHECK(m_slots > 0 && m_taken.cpus >= ask.cpus && m_taken.memoryBytes >= ask.memoryBytes);
    --m_slots;
    m_unknown -= ask.cpus == 0 ? 1U : 0U;
    m_taken.cpus -= ask.cpus;
    m_taken.memoryBytes -= ask.memoryBytes;
    for (const auto& [name, amount] : ask.named) {
        const auto found = m_taken.named.find(name);
        PENSTOCK_CHECK(found != m_taken.named.end() && found->second >= amount);
        if ((found->second -= amount) == 0)
            m_taken.named.erase(found);
    }
}

bool Room::hasAny() const
{
    return slotsTaken() < m_capacity.slots &&
           cpusTaken() < m_capacity.resources.cpus;
}

bool Room::fits(const work::Resources& ask) const
{
    const work::Resources& all = m_capacity.resources;
    if (slotsTaken() >= m_capacity.slots)
        return false;
    const std::uint64_t cpus = ask.cpus == 0 ? m_capacity.unknownCpus : ask.cpus;
    if (cpusTaken() + cpus > all.cpus && !(m_slots == 0 && ask.cpus == 0)) // an empty machine takes any one unknown
        return false;
    if (all.memoryBytes != 0 && ask.memoryBytes != 0 && m_taken.memoryBytes + ask.memoryBytes > all.memoryBytes)
        return false;
    return std::all_of(ask.named.begin(), ask.named.end(), [&](const auto& wanted) {
        return amountOf(m_taken.named, wanted.first) + wanted.second <= amountOf(all.named, wanted.first);
    });
}

bool Room::couldFit(const work::Resources& ask) const
{
    const work::Resources& all = m_capacity.resources;
    if (ask.cpus > all.cpus || (all.memoryBytes != 0 && ask.memoryBytes > all.memoryBytes))
        return false;
    return std::all_of(ask.named.begin(), ask.named.end(),
                       [&](const auto& wanted) { return wanted.second <= amountOf(all.named, wanted.first); });
}

std::uint32_t Room::takenPart() const
{
    const work::Resources& all = m_capacity.resources;
    std::uint32_t part = partOf(cpusTaken(), all.cpus);
    part = std::max(part, partOf(slotsTaken(), m_capacity.slots));
    if (all.memoryBytes != 0)
        part = std::max(part, partOf(m_taken.memoryBytes, all.memoryBytes));
    return part;
}

std::uint32_t Room::slotsFree() const
{
    return m_capacity.slots - std::min(slotsTaken(), m_capacity.slots);
}

work::Resources Room::taken() const
{
    work::Resources taken = m_taken;
    taken.cpus += m_unknown * m_capacity.unknownCpus;
    return taken;
}

std::uint64_t Room::cpusTaken() const
{
    return std::uint64_t{m_taken.cpus} + std::uint64_t{m_unknown} * m_capacity.unknownCpus + m_foreign + m_foreignCpus;
}

} // namespace penstock::sched
