// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/world.h"

#include <algorithm>
#include <fmt/format.h>

namespace penstock::sim {

std::pair<Instant, std::uint64_t> World::after(Duration delay, Task task)
{
    const std::pair<Instant, std::uint64_t> key{m_now + std::max(delay, Duration(0)), m_order++};
    m_queue.emplace(key, std::move(task));
    return key;
}

bool World::step()
{
    if (m_queue.empty() || m_violation)
        return false;
    auto entry = m_queue.extract(m_queue.begin());
    m_now = entry.key().first;
    ++m_steps;
    entry.mapped()();
    return true;
}

void World::note(std::string_view what, std::uint64_t a, std::uint64_t b)
{
    const auto mix = [this](std::uint64_t byte) { m_hash = (m_hash ^ byte) * 0x100000001B3U; };
    for (const char letter : what)
        mix(static_cast<unsigned char>(letter));
    for (const std::uint64_t number : {a, b, static_cast<std::uint64_t>(m_now.sinceStart.count())})
        for (unsigned shift = 0; shift < 64; shift += 8)
            mix((number >> shift) & 0xFFU);
    if (m_verbose)
        fmt::print("{:>12.6f} {} {} {}\n",
                   static_cast<double>((m_now.sinceStart - std::chrono::hours(1)).count()) / 1e6, what, a, b);
}

void World::violate(std::string what)
{
    note("VIOLATION");
    if (!m_violation)
        m_violation = std::move(what);
}

} // namespace penstock::sim
