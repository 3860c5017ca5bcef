// SPDX-License-Identifier: GPL-3.0-or-later
// How text looks on this terminal: colours, and a glyph beside every colour so that none carries meaning
// alone. Also makes text from jobs and peers safe to print. Pure, callable from any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace penstock::client {

enum class Colour : std::uint8_t { None, Red, Green, Yellow, Blue, Grey, Bold };

struct Style {
    bool colour = false;  // escape sequences allowed
    bool unicode = false; // the terminal's character set is UTF-8
};

[[nodiscard]] std::string paint(const Style& style, Colour colour, std::string_view text);

struct Glyph {
    std::string_view unicode;
    std::string_view ascii;
    Colour colour;
};
// For the state or result words of jobs, steps, attempts and machines; unknown words get a neutral one.
[[nodiscard]] Glyph glyphFor(std::string_view word);

// Control characters and ill-formed UTF-8 replaced, so that a job's name cannot steer the terminal.
[[nodiscard]] std::string printable(std::string_view text);
// The same, but with line ends and tabs kept.
[[nodiscard]] std::string printableLines(std::string_view text);
// Columns a text takes: code points, with combining and wide ones counted as one each.
[[nodiscard]] std::size_t displayWidth(std::string_view text);
// Cut to so many columns, with a mark at the end when something is missing.
[[nodiscard]] std::string elide(std::string_view text, std::size_t columns, const Style& style);

} // namespace penstock::client
