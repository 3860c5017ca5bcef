// SPDX-License-Identifier: GPL-3.0-or-later
// The codes of reasons and the stages of the funnel in short words for people. Pure, any thread. Codes are the
// server's (core/explain.h); one that is not known here is shown as it is, with spaces.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace penstock::gui {

// What has to happen for such a step to run; each is drawn its own way.
enum class ReasonKind : std::uint8_t {
    Inputs,   // other steps
    Machines, // no machine can, or none that can is there
    Pressure, // machines that can are past a gate
    Busy,     // machines that can are full
    Order,    // others are ahead, or a limit
    Operator, // somebody's word
    Farm,     // the server itself
    Unknown,
};

struct ReasonWords {
    ReasonKind kind = ReasonKind::Unknown;
    std::string words; // "no free slot"
};

[[nodiscard]] ReasonWords wordsOfReason(std::string_view code);

// "have its features", for "12 machines have its features".
[[nodiscard]] std::string wordsOfStage(std::string_view stage);

// A number's name with spaces for its underscores and dashes: "free slots".
[[nodiscard]] std::string spaced(std::string_view name);

} // namespace penstock::gui
