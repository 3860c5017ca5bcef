// SPDX-License-Identifier: GPL-3.0-or-later
// Standard output and standard error of the program. Results go to out(), talk to note(), and lines that are
// redrawn in place to live(). Writes are complete or remembered: a signal during a blocked write ends the
// write early and the rest goes first next time. One thread. A reader that went away is remembered
// (closed()), never an error by itself.
#pragma once

#include "client/output/style.h"

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::client {

struct ConsoleSettings {
    Style outStyle;
    Style noteStyle;
    bool quiet = false;       // no notes; errors are still said
    bool live = false;        // lines may be redrawn in place
    std::size_t outWidth = 0; // of the terminal; 0: not one
    std::size_t noteWidth = 80;
    std::size_t noteHeight = 24;
};

class Console {
public:
    // interrupted: true while a signal waits to be handled; a blocked write then gives up for now.
    Console(ConsoleSettings settings, std::function<bool()> interrupted);

    void out(std::string_view bytes);
    // Raw bytes of a job's standard error; no line handling.
    void err(std::string_view bytes);
    // A line for people on standard error, unless quiet.
    void note(std::string_view line);
    // The same, also when quiet.
    void complain(std::string_view line);
    // Replaces the lines drawn last time; nothing without a terminal.
    void live(const std::vector<std::string>& lines);
    void clearLive() { live({}); }
    // Tries to write what an interrupted write left over.
    void flush();

    [[nodiscard]] bool closed() const { return m_closed; }
    [[nodiscard]] const ConsoleSettings& settings() const { return m_settings; }

private:
    struct Channel {
        int descriptor;
        std::string pending;
    };
    void write(Channel& channel, std::string_view bytes);

    ConsoleSettings m_settings;
    std::function<bool()> m_interrupted;
    Channel m_out{1, {}};
    Channel m_err{2, {}};
    bool m_closed = false;
    std::vector<std::string> m_live; // drawn last
};

struct TerminalFacts {
    bool outTerminal = false;
    bool errTerminal = false;
    std::size_t outWidth = 0;
    std::size_t errWidth = 0;
    std::size_t errHeight = 0;
};
[[nodiscard]] TerminalFacts readTerminal();

} // namespace penstock::client
