// SPDX-License-Identifier: GPL-3.0-or-later
// Nix's own base 32: another alphabet (no e, o, t, u) and the last byte first. Pure; callable from any
// thread. Decoding returns Invalid on a wrong length, a foreign character, or set bits that encode no data.
#pragma once

#include "shared/base/bytes.h"
#include "shared/base/result.h"

#include <cstddef>
#include <string>
#include <string_view>

namespace penstock::nix {

// Characters that so many bytes take.
[[nodiscard]] constexpr std::size_t base32Length(std::size_t bytes)
{
    return (bytes * 8 + 4) / 5;
}
[[nodiscard]] bool isBase32Character(char c);
[[nodiscard]] std::string encodeBase32(ByteView bytes);
// Exactly byteCount raw bytes, as a string.
[[nodiscard]] Result<std::string> decodeBase32(std::string_view text, std::size_t byteCount);

} // namespace penstock::nix
