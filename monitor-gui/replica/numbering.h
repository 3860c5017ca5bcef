// SPDX-License-Identifier: GPL-3.0-or-later
// Keeps count of the numbered deltas of a farm stream and says which may be applied. Pure, callable from any
// thread. The stream uses it to know where to resume, the replica to refuse what would make it wrong.
#pragma once

#include "monitor-gui/replica/feed_event.h"

#include <cstdint>
#include <string>

namespace penstock::gui {

enum class Applied : std::uint8_t {
    Yes,
    Ignored,     // a repetition, or waiting for a snapshot anyway
    NeedsResync, // a number is missing, or a delta came before any snapshot; said once until the next
                 // snapshot
};

class DeltaNumbering {
public:
    [[nodiscard]] Applied accept(const SnapshotEvent& snapshot);
    [[nodiscard]] Applied accept(const DeltaEvent& delta);

    // Forgets everything: the next watch asks for a snapshot.
    void reset();

    [[nodiscard]] bool synchronised() const { return m_state == State::Synchronised; }
    [[nodiscard]] const std::string& stream() const { return m_stream; } // empty: nothing to resume
    [[nodiscard]] std::uint64_t number() const { return m_number; }

private:
    enum class State : std::uint8_t { Empty, Synchronised, WaitingForSnapshot };

    Applied needSnapshot();

    State m_state = State::Empty;
    std::string m_stream;
    std::uint64_t m_number = 0;
};

} // namespace penstock::gui
