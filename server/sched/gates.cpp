// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/sched/gates.h"

#include "shared/base/check.h"

namespace penstock::sched {

GateIndex Gates::acquire(const GateKey& key)
{
    const auto [found, isNew] = m_index.try_emplace(key, GateIndex{0});
    if (isNew) {
        if (m_free.empty()) {
            m_free.push_back(static_cast<GateIndex>(m_gates.size()));
            m_gates.emplace_back();
        }
        found->second = m_free.back();
        m_free.pop_back();
        m_gates[found->second].key = &found->first;
    }
    ++m_gates[found->second].users;
    return found->second;
}

void Gates::release(GateIndex index)
{
    PENSTOCK_CHECK(m_gates[index].users > 0);
    --m_gates[index].users;
    dropUnused(index);
}

void Gates::dropUnused(GateIndex index)
{
    Gate& gate = m_gates[index];
    if (gate.users > 0 || gate.steps > 0)
        return;
    m_index.erase(m_index.find(*gate.key));
    gate = Gate{};
    m_free.push_back(index);
}

bool Gates::setLimits(GateIndex index, GateLimits limits)
{
    Gate& gate = m_gates[index];
    const auto isWider = [](std::uint32_t before, std::uint32_t now) {
        return before != 0 && (now == 0 || now > before);
    };
    const bool opened = isWider(gate.limits.steps, limits.steps) || isWider(gate.limits.cpus, limits.cpus);
    gate.limits = limits;
    return opened;
}

GateIndex Gates::find(const GateKey& key) const
{
    const auto found = m_index.find(key);
    return found == m_index.end() ? 0 : found->second;
}

GateIndex Gates::closedFor(const GateSet& gates, std::uint32_t cpus) const
{
    for (const GateIndex index : gates) {
        const Gate& gate = m_gates[index];
        if ((gate.limits.steps != 0 && gate.steps >= gate.limits.steps) ||
            (gate.limits.cpus != 0 && gate.cpus + cpus > gate.limits.cpus))
            return index;
    }
    return 0;
}

void Gates::enter(const GateSet& gates, std::uint32_t cpus)
{
    for (const GateIndex index : gates) {
        if (index == 0)
            continue;
        ++m_gates[index].steps;
        m_gates[index].cpus += cpus;
    }
}

void Gates::leave(const GateSet& gates, std::uint32_t cpus)
{
    for (const GateIndex index : gates) {
        if (index == 0)
            continue;
        Gate& gate = m_gates[index];
        PENSTOCK_CHECK(gate.steps > 0 && gate.cpus >= cpus);
        --gate.steps;
        gate.cpus -= cpus;
        dropUnused(index);
    }
}

} // namespace penstock::sched
