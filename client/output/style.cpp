// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/output/style.h"

#include "shared/base/text.h"

#include <array>
#include <fmt/format.h>

namespace penstock::client {

namespace {

std::string_view sequence(Colour colour)
{
    switch (colour) {
    case Colour::None: return "";
    case Colour::Red: return "\x1b[31m";
    case Colour::Green: return "\x1b[32m";
    case Colour::Yellow: return "\x1b[33m";
    case Colour::Blue: return "\x1b[36m";
    case Colour::Grey: return "\x1b[90m";
    case Colour::Bold: return "\x1b[1m";
    }
    return "";
}

struct Word {
    std::string_view word;
    Glyph glyph;
};

constexpr Glyph kGood{"✔", "+", Colour::Green};
constexpr Glyph kBad{"✖", "x", Colour::Red};
constexpr Glyph kBusy{"▶", ">", Colour::Blue};
constexpr Glyph kWaits{"◦", ".", Colour::Yellow};
constexpr Glyph kStopped{"⊘", "-", Colour::Grey};
constexpr Glyph kNeutral{"·", " ", Colour::None};

constexpr std::array kWords{
    Word{"succeeded", kGood},    Word{"cached", kGood},           Word{"ready", kWaits},
    Word{"queued", kWaits},      Word{"blocked", kWaits},         Word{"delayed", kWaits},
    Word{"running", kBusy},      Word{"assigned", kBusy},         Word{"failed", kBad},
    Word{"timed_out", kBad},     Word{"silent_timed_out", kBad},  Word{"log_limit", kBad},
    Word{"output_limit", kBad},  Word{"not_deterministic", kBad}, Word{"dependency_failed", kBad},
    Word{"unsupported", kBad},   Word{"aborted", kBad},           Word{"infrastructure", kBad},
    Word{"lost", kBad},          Word{"transient", kBad},         Word{"rejected", kStopped},
    Word{"cancelled", kStopped}, Word{"connected", kGood},        Word{"draining", kWaits},
    Word{"disconnected", kBad},  Word{"quarantined", kBad},       Word{"revoked", kStopped},
};

std::size_t sequenceLength(unsigned char lead)
{
    if (lead < 0x80)
        return 1;
    if (lead < 0xE0)
        return 2;
    return lead < 0xF0 ? 3 : 4;
}

std::string makePrintable(std::string_view text, bool keepLines)
{
    auto valid = toValidUtf8(text);
    std::string out;
    out.reserve(valid.size());
    for (std::size_t at = 0; at < valid.size();) {
        const auto lead = static_cast<unsigned char>(valid[at]);
        const auto length = sequenceLength(lead);
        const bool lineMark = keepLines && (lead == '\n' || lead == '\t');
        // U+0080 to U+009F are control characters too; their UTF-8 starts with C2.
        const bool c1 = lead == 0xC2 && static_cast<unsigned char>(valid[at + 1]) < 0xA0;
        if ((lead < 0x20 && !lineMark) || lead == 0x7F || c1)
            out.push_back('?');
        else
            out.append(valid, at, length);
        at += length;
    }
    return out;
}

} // namespace

std::string paint(const Style& style, Colour colour, std::string_view text)
{
    if (!style.colour || colour == Colour::None)
        return std::string(text);
    return fmt::format("{}{}\x1b[0m", sequence(colour), text);
}

Glyph glyphFor(std::string_view word)
{
    for (const auto& entry : kWords)
        if (entry.word == word)
            return entry.glyph;
    return kNeutral;
}

std::string printable(std::string_view text)
{
    return makePrintable(text, false);
}

std::string printableLines(std::string_view text)
{
    return makePrintable(text, true);
}

std::size_t displayWidth(std::string_view text)
{
    std::size_t width = 0;
    for (const char c : text)
        width += (static_cast<unsigned char>(c) & 0xC0U) != 0x80U ? 1U : 0U;
    return width;
}

std::string elide(std::string_view text, std::size_t columns, const Style& style)
{
    if (displayWidth(text) <= columns)
        return std::string(text);
    const std::string_view mark = style.unicode ? "…" : "~";
    if (columns == 0)
        return {};
    std::string out;
    std::size_t used = 0;
    for (std::size_t at = 0; at < text.size() && used + 1 < columns; ++used) {
        const auto length = sequenceLength(static_cast<unsigned char>(text[at]));
        out.append(text.substr(at, length));
        at += length;
    }
    return out.append(mark);
}

} // namespace penstock::client
