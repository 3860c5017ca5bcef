// SPDX-License-Identifier: GPL-3.0-or-later
// Views of raw bytes and fixed-width integers in them. Pure, callable from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace penstock {

using ByteView = std::span<const std::byte>;

[[nodiscard]] inline ByteView bytesOf(std::string_view text)
{
    return std::as_bytes(std::span(text.data(), text.size()));
}
[[nodiscard]] inline std::string_view textOf(ByteView bytes)
{
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Reads exactly four bytes at the front; the caller has checked the size.
[[nodiscard]] constexpr std::uint32_t readBigEndian32(ByteView bytes)
{
    return (std::to_integer<std::uint32_t>(bytes[0]) << 24U) |
           (std::to_integer<std::uint32_t>(bytes[1]) << 16U) |
           (std::to_integer<std::uint32_t>(bytes[2]) << 8U) | std::to_integer<std::uint32_t>(bytes[3]);
}
inline void appendBigEndian32(std::string& out, std::uint32_t value)
{
    for (unsigned shift = 24; ; shift -= 8) {
        out.push_back(static_cast<char>((value >> shift) & 0xFFU));
        if (shift == 0)
            return;
    }
}

} // namespace penstock
