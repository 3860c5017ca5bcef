// SPDX-License-Identifier: GPL-3.0-or-later
// DoublingPause: how long to wait before looking again for something that nobody tells. Pure.
#pragma once

#include "shared/base/clock.h"

#include <algorithm>
#include <utility>

namespace penstock::hydra {

class DoublingPause {
public:
    // first > 0
    DoublingPause(Duration first, Duration longest) : m_first(first), m_longest(longest), m_next(first) {}

    // Each twice as long as the one before it, up to the longest.
    [[nodiscard]] Duration next() { return std::exchange(m_next, std::min(m_next * 2, m_longest)); }
    void reset() { m_next = m_first; } // it may be over soon

private:
    Duration m_first;
    Duration m_longest;
    Duration m_next;
};

} // namespace penstock::hydra
