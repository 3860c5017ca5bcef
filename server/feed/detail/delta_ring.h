// SPDX-License-Identifier: GPL-3.0-or-later
// DeltaRing: the last deltas, by number, for those who were away for a moment. Bounded in count and bytes: the oldest
// go first. Pure; one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

namespace penstock::feed {

class DeltaRing {
public:
    DeltaRing(std::size_t maxCount, std::size_t maxBytes) : m_maxCount(maxCount), m_maxBytes(maxBytes) {}

    // The delta gets the next number.
    void push(std::string delta)
    {
        m_bytes += delta.size();
        m_deltas.push_back(std::move(delta));
        ++m_last;
        while (m_deltas.size() > m_maxCount || (m_bytes > m_maxBytes && m_deltas.size() > 1)) {
            m_bytes -= m_deltas.front().size();
            m_deltas.pop_front();
        }
    }
    // Keeps the numbering, so that a number is never used for two deltas.
    void clear()
    {
        m_deltas.clear();
        m_bytes = 0;
    }
    [[nodiscard]] std::uint64_t last() const { return m_last; }
    // Those after the number, in order; nothing when some of them are gone, or the number was never given out.
    [[nodiscard]] std::optional<std::vector<const std::string*>> after(std::uint64_t number) const
    {
        if (number > m_last || m_last - number > m_deltas.size())
            return std::nullopt;
        std::vector<const std::string*> found;
        for (std::size_t at = m_deltas.size() - (m_last - number); at < m_deltas.size(); ++at)
            found.push_back(&m_deltas[at]);
        return found;
    }

private:
    std::size_t m_maxCount;
    std::size_t m_maxBytes;
    std::size_t m_bytes = 0;
    std::uint64_t m_last = 0;
    std::deque<std::string> m_deltas;
};

} // namespace penstock::feed
