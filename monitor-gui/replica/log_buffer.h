// SPDX-License-Identifier: GPL-3.0-or-later
// The tail of one attempt's log as lines to show. Pure, one owner, any thread. Bounded: at most kMaxLines
// lines and kMaxBytes bytes; the oldest go first and are counted. A line longer than kMaxLineBytes is cut and
// says so. Escape sequences are dropped, a carriage return starts its line anew (progress bars), ill-formed
// UTF-8 becomes U+FFFD, NUL becomes a middle dot.
#pragma once

#include "monitor-gui/replica/feed_event.h"

#include <array>
#include <cstddef>
#include <deque>

namespace penstock::gui {

struct LogLine {
    WallTime time;
    LogStream stream = LogStream::Out;
    std::string text; // UTF-8 without control characters
};

class LogBuffer {
public:
    static constexpr std::size_t kMaxLines = 100'000;
    static constexpr std::size_t kMaxBytes = 16U * 1024 * 1024;
    static constexpr std::size_t kMaxLineBytes = 16U * 1024;

    void clear();
    // Repeated bytes (a resumed watch) are skipped by offset; missing ones become a line that says how many.
    void apply(const LogEvent& event);

    [[nodiscard]] const std::deque<LogLine>& lines() const { return m_lines; }
    // Number of the first line kept, from 0: so many were let go.
    [[nodiscard]] std::uint64_t firstLine() const { return m_firstLine; }
    [[nodiscard]] std::uint64_t endOffset() const { return m_endOffset; } // where to resume
    [[nodiscard]] std::uint64_t size() const { return m_size; }
    [[nodiscard]] bool ended() const { return m_ended; }
    [[nodiscard]] std::uint64_t revision() const { return m_revision; }

private:
    // A line that has no end yet, for each stream: out and err may interleave within a line.
    struct Partial {
        std::string text;
        WallTime time;
        enum class Escape : std::uint8_t { None, Begun, Sequence, Command } escape = Escape::None;
        bool cut = false;
        bool returned = false; // a carriage return was last: the next text starts the line anew
        // Index of the line shown for it, counted from the log's start; none while empty.
        std::optional<std::uint64_t> shown;
    };

    void take(const LogPiece& piece, std::string_view bytes);
    void takeByte(Partial& partial, char byte);
    bool swallowedByEscape(Partial& partial, char byte);
    void show(Partial& partial, LogStream stream);
    void finish(Partial& partial, LogStream stream);
    void note(std::string text, WallTime time);
    void append(LogLine line);
    void trim();

    std::deque<LogLine> m_lines;
    std::array<Partial, 3> m_partials;
    std::size_t m_bytes = 0;
    std::uint64_t m_firstLine = 0;
    std::uint64_t m_endOffset = 0;
    std::uint64_t m_size = 0;
    std::uint64_t m_revision = 0;
    bool m_ended = false;
};

} // namespace penstock::gui
