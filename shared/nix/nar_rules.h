// SPDX-License-Identifier: GPL-3.0-or-later
// What the reader and the writer of NARs share: padding and the rules for names and link targets. Pure.
// Errors are sentences, for the caller to put a code and a place on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace penstock::nix {

inline constexpr std::string_view kNarMagic = "nix-archive-1";
inline constexpr std::size_t kNarWord = 8; // bytes of an integer, and what everything is padded to

// Zero bytes that follow so many bytes.
[[nodiscard]] constexpr std::size_t narPadding(std::uint64_t length)
{
    return (kNarWord - length % kNarWord) % kNarWord;
}

// Empty when the rule is kept, else what is wrong. Lengths above the limits are not looked at.
[[nodiscard]] std::string narNameFault(std::string_view name);
[[nodiscard]] std::string narTargetFault(std::string_view target);
// Empty when name may follow previous (empty: there is none) in a directory.
[[nodiscard]] std::string narOrderFault(std::string_view previous, std::string_view name);

} // namespace penstock::nix
