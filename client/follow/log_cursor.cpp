// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/follow/log_cursor.h"

namespace penstock::client {

std::vector<LogPiece> LogCursor::take(const monitor::LogData& message)
{
    std::vector<LogPiece> pieces;
    auto offset = message.offset();
    // An end without records is told with the log's end as offset; with an unknown end it is 0.
    const bool empty = message.records_size() == 0;
    if (offset > m_next && !(empty && !message.ended())) {
        if (m_askedAt != m_next) {
            m_missing = true;
            return pieces;
        }
        m_lost += offset - m_next;
        m_next = offset;
    }
    m_missing = false;
    for (const auto& record : message.records()) {
        std::string_view data = record.data();
        const auto end = offset + data.size();
        if (end > m_next) {
            data.remove_prefix(m_next > offset ? m_next - offset : 0);
            pieces.push_back({message.attempt_id(), message.step_id(), end - data.size(), record.time_us(),
                              record.stream(), data});
            m_next = end;
        }
        offset = end;
    }
    if (message.ended())
        m_ended = true;
    return pieces;
}

void LogCursor::askedAgain()
{
    m_askedAt = m_next;
    m_missing = false;
}

} // namespace penstock::client
