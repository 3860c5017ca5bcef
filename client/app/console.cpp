// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/app/console.h"

#include <algorithm>
#include <cerrno>
#include <fmt/format.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace penstock::client {

namespace {

// How much a blocked write may hold back before new bytes wait for the reader again.
constexpr std::size_t kMaxPendingBytes = 8U << 20U;

} // namespace

Console::Console(ConsoleSettings settings, std::function<bool()> interrupted)
    : m_settings(settings), m_interrupted(std::move(interrupted))
{}

void Console::out(std::string_view bytes)
{
    clearLive();
    write(m_out, bytes);
}

void Console::err(std::string_view bytes)
{
    clearLive();
    write(m_err, bytes);
}

void Console::note(std::string_view line)
{
    if (!m_settings.quiet)
        complain(line);
}

void Console::complain(std::string_view line)
{
    clearLive();
    write(m_err, fmt::format("{}\n", line));
}

void Console::live(const std::vector<std::string>& lines)
{
    if (!m_settings.live || lines == m_live)
        return;
    std::string text;
    if (!m_live.empty())
        text += fmt::format("\r\x1b[{}A", m_live.size());
    for (const auto& line : lines)
        text += fmt::format("{}\x1b[K\n", line);
    // What was below the new last line goes.
    text += "\x1b[J";
    m_live = lines;
    write(m_err, text);
}

void Console::flush()
{
    write(m_out, {});
    write(m_err, {});
}

void Console::write(Channel& channel, std::string_view bytes)
{
    if (m_closed && channel.descriptor == 1)
        return;
    std::string joined;
    if (!channel.pending.empty()) {
        joined = std::move(channel.pending);
        channel.pending.clear();
        joined.append(bytes);
        bytes = joined;
    }
    while (!bytes.empty()) {
        const auto written = ::write(channel.descriptor, bytes.data(), bytes.size());
        if (written >= 0) {
            bytes.remove_prefix(static_cast<std::size_t>(written));
        } else if (errno == EAGAIN) {
            // Somebody else made the descriptor non-blocking; wait as a blocking write would.
            pollfd waiting{channel.descriptor, POLLOUT, 0};
            ::poll(&waiting, 1, 1000);
        } else if (errno != EINTR) {
            m_closed = m_closed || channel.descriptor == 1;
            return; // EPIPE and the like: nobody reads, closed() says so
        }
        if (!bytes.empty() && m_interrupted() && bytes.size() <= kMaxPendingBytes) {
            channel.pending = std::string(bytes);
            return;
        }
    }
}

TerminalFacts readTerminal()
{
    TerminalFacts facts;
    facts.outTerminal = ::isatty(1) == 1;
    facts.errTerminal = ::isatty(2) == 1;
    winsize size{};
    if (facts.outTerminal && ::ioctl(1, TIOCGWINSZ, &size) == 0)
        facts.outWidth = size.ws_col;
    if (facts.errTerminal && ::ioctl(2, TIOCGWINSZ, &size) == 0) {
        facts.errWidth = size.ws_col;
        facts.errHeight = size.ws_row;
    }
    return facts;
}

} // namespace penstock::client
