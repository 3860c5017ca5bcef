// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/replica/numbering.h"

namespace penstock::gui {

Applied DeltaNumbering::accept(const SnapshotEvent& snapshot)
{
    if (snapshot.resumed) {
        // Only the stream that we asked for may be resumed, and only from where we are.
        if (m_stream.empty() || snapshot.stream != m_stream || snapshot.number > m_number)
            return needSnapshot();
        m_state = State::Synchronised;
        return Applied::Yes;
    }
    m_stream = snapshot.stream;
    m_number = snapshot.number;
    m_state = State::Synchronised;
    return Applied::Yes;
}

Applied DeltaNumbering::accept(const DeltaEvent& delta)
{
    if (m_state == State::WaitingForSnapshot)
        return Applied::Ignored;
    if (m_state == State::Empty)
        return needSnapshot();
    if (delta.number <= m_number)
        return Applied::Ignored;
    if (delta.number != m_number + 1)
        return needSnapshot();
    m_number = delta.number;
    return Applied::Yes;
}

void DeltaNumbering::reset()
{
    m_state = State::Empty;
    m_stream.clear();
    m_number = 0;
}

Applied DeltaNumbering::needSnapshot()
{
    m_state = State::WaitingForSnapshot;
    return Applied::NeedsResync;
}

} // namespace penstock::gui
