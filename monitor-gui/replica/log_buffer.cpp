// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/replica/log_buffer.h"

#include "shared/base/text.h"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

namespace penstock::gui {

void LogBuffer::clear()
{
    const std::uint64_t revision = m_revision + 1;
    *this = LogBuffer{};
    m_revision = revision;
}

void LogBuffer::apply(const LogEvent& event)
{
    ++m_revision;
    m_size = std::max(m_size, event.size);
    const WallTime time = event.pieces.empty() ? WallTime{} : event.pieces.front().time;
    if (event.offset > m_endOffset) {
        // The first piece of a tail starts late on purpose; later jumps are losses.
        const std::uint64_t missing = event.offset - m_endOffset;
        note(fmt::format("{} bytes of the log are not shown here", missing), time);
        m_endOffset = event.offset;
    }
    std::uint64_t offset = event.offset;
    for (const LogPiece& piece : event.pieces) {
        std::string_view bytes = piece.bytes;
        const std::uint64_t end = offset + bytes.size();
        if (end > m_endOffset) {
            bytes.remove_prefix(m_endOffset - std::min(m_endOffset, offset));
            take(piece, bytes);
            m_endOffset = end;
        }
        offset = end;
    }
    m_size = std::max(m_size, m_endOffset);
    m_ended = m_ended || event.ended;
    trim();
}

void LogBuffer::take(const LogPiece& piece, std::string_view bytes)
{
    Partial& partial = m_partials[static_cast<std::size_t>(piece.stream)];
    if (partial.text.empty())
        partial.time = piece.time;
    for (const char byte : bytes) {
        if (byte == '\n') {
            finish(partial, piece.stream);
            partial.time = piece.time;
        } else {
            takeByte(partial, byte);
        }
    }
    show(partial, piece.stream);
}

void LogBuffer::takeByte(Partial& partial, char byte)
{
    if (swallowedByEscape(partial, byte))
        return;
    if (byte == '\r') {
        partial.returned = true;
        return;
    }
    if (std::exchange(partial.returned, false)) {
        partial.text.clear();
        partial.cut = false;
    }
    if (partial.text.size() >= kMaxLineBytes) {
        partial.cut = true;
        return;
    }
    if (byte == '\t')
        partial.text.append(8 - partial.text.size() % 8, ' ');
    else if (byte == '\0')
        partial.text += "\u00B7";
    else if (static_cast<unsigned char>(byte) >= 0x20 && byte != '\x7F')
        partial.text.push_back(byte);
}

// ECMA-48: ESC [ … final byte, ESC ] … BEL (commands such as titles and links), or ESC and one byte.
bool LogBuffer::swallowedByEscape(Partial& partial, char byte)
{
    using Escape = Partial::Escape;
    switch (partial.escape) {
    case Escape::None:
        if (byte != '\x1B')
            return false;
        partial.escape = Escape::Begun;
        return true;
    case Escape::Begun:
        if (byte == '[')
            partial.escape = Escape::Sequence;
        else if (byte == ']')
            partial.escape = Escape::Command;
        else if (byte < ' ' || byte > '/') // intermediate bytes such as in ESC ( B go on
            partial.escape = Escape::None;
        return true;
    case Escape::Sequence:
        if (byte >= '@' && byte <= '~')
            partial.escape = Escape::None;
        return true;
    case Escape::Command:
        if (byte == '\a')
            partial.escape = Escape::None;
        else if (byte == '\x1B') // ESC \ ends it too
            partial.escape = Escape::Begun;
        return true;
    }
    return false;
}

void LogBuffer::show(Partial& partial, LogStream stream)
{
    if (partial.text.empty() && !partial.shown)
        return;
    std::string text = toValidUtf8(partial.text);
    if (partial.cut)
        text += fmt::format(" \u2026 (cut after {} bytes)", kMaxLineBytes);
    if (partial.shown && *partial.shown >= m_firstLine) {
        LogLine& line = m_lines[*partial.shown - m_firstLine];
        m_bytes = m_bytes - line.text.size() + text.size();
        line.text = std::move(text);
        return;
    }
    append({partial.time, stream, std::move(text)});
    partial.shown = m_firstLine + m_lines.size() - 1;
}

void LogBuffer::finish(Partial& partial, LogStream stream)
{
    if (partial.text.empty() && !partial.shown)
        append({partial.time, stream, {}});
    else
        show(partial, stream);
    const Partial::Escape escape =
        partial.escape == Partial::Escape::Command ? partial.escape : Partial::Escape::None;
    partial = Partial{};
    partial.escape = escape;
}

void LogBuffer::note(std::string text, WallTime time)
{
    for (Partial& partial : m_partials)
        partial = Partial{};
    append({time, LogStream::System, std::move(text)});
}

void LogBuffer::append(LogLine line)
{
    m_bytes += line.text.size();
    m_lines.push_back(std::move(line));
    if (m_lines.size() > kMaxLines + kMaxLines / 8)
        trim();
}

void LogBuffer::trim()
{
    while (m_lines.size() > kMaxLines || m_bytes > kMaxBytes) {
        m_bytes -= m_lines.front().text.size();
        m_lines.pop_front();
        ++m_firstLine;
    }
}

} // namespace penstock::gui
