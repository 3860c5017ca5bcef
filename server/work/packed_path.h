// SPDX-License-Identifier: GPL-3.0-or-later
// PathHash: the 32 letters with which the last part of a store path begins, in 20 bytes: paths are what most of the
// farm's memory would be. Pure, callable from any thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace penstock::work {

inline constexpr std::size_t kHashLetters = 32;
using PathHash = std::array<std::uint8_t, 20>;

// Nothing when these are not 32 letters of Nix's base 32.
[[nodiscard]] std::optional<PathHash> packHash(std::string_view letters);
[[nodiscard]] std::string unpackHash(const PathHash& hash);

struct SplitPath { // "/nix/store" "/" hash "-" "hello-1.0.drv"
    std::string_view directory;
    PathHash hash;
    std::string_view rest;
};
// Nothing when the path has another form. Views of it.
[[nodiscard]] std::optional<SplitPath> splitPath(std::string_view path);

} // namespace penstock::work
