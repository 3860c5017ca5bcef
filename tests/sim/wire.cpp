// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/wire.h"

#include <algorithm>

namespace penstock::sim {

void Wire::deliver(std::size_t to, Task task)
{
    Instant at = m_world.now().mono + m_world.random.duration(m_latency / 2, m_latency * 2);
    at = std::max(at, m_last.at(to)); // bytes do not overtake each other
    m_last.at(to) = at;
    m_world.after(at - m_world.now().mono, std::move(task));
}

void Wire::send(std::size_t from, std::string bytes)
{
    if (!m_isOpen.at(from) || m_isDead)
        return;
    const std::size_t to = 1 - from;
    deliver(to, [self = shared_from_this(), to, bytes = std::move(bytes)] {
        if (self->m_isDead || !self->m_isOpen.at(to) || !self->m_ends.at(to).bytes)
            return;
        const auto handler = self->m_ends.at(to).bytes;
        handler(bytes);
    });
}

void Wire::close(std::size_t from)
{
    if (!m_isOpen.at(from))
        return;
    m_isOpen.at(from) = false;
    m_ends.at(from) = {};
    if (m_isDead)
        return;
    const std::size_t to = 1 - from;
    deliver(to, [self = shared_from_this(), to] {
        if (self->m_isDead || !self->m_isOpen.at(to))
            return;
        self->m_isOpen.at(to) = false;
        const auto handler = std::exchange(self->m_ends.at(to), {}).closed;
        if (handler)
            handler();
    });
}

} // namespace penstock::sim
