// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nix/base32.h"

#include <array>
#include <cstdint>

#include <fmt/format.h>

namespace penstock::nix {
namespace {

constexpr std::string_view kAlphabet = "0123456789abcdfghijklmnpqrsvwxyz";
constexpr std::uint8_t kNoDigit = 0xFF;

constexpr std::array<std::uint8_t, 256> makeDigits()
{
    std::array<std::uint8_t, 256> digits{};
    for (std::uint8_t& digit : digits)
        digit = kNoDigit;
    for (std::size_t i = 0; i < kAlphabet.size(); ++i)
        digits[static_cast<unsigned char>(kAlphabet[i])] = static_cast<std::uint8_t>(i);
    return digits;
}
constexpr std::array<std::uint8_t, 256> kDigits = makeDigits();

} // namespace

bool isBase32Character(char c)
{
    return kDigits[static_cast<unsigned char>(c)] != kNoDigit;
}

std::string encodeBase32(ByteView bytes)
{
    const std::size_t length = base32Length(bytes.size());
    std::string text(length, '0');
    for (std::size_t k = 0; k < length; ++k) {
        const std::size_t bit = 5 * (length - 1 - k);
        const std::size_t index = bit / 8;
        const unsigned shift = static_cast<unsigned>(bit % 8);
        unsigned value = std::to_integer<unsigned>(bytes[index]) >> shift;
        if (index + 1 < bytes.size())
            value |= std::to_integer<unsigned>(bytes[index + 1]) << (8U - shift);
        text[k] = kAlphabet[value & 31U];
    }
    return text;
}

Result<std::string> decodeBase32(std::string_view text, std::size_t byteCount)
{
    const std::size_t length = base32Length(byteCount);
    if (text.size() != length)
        return fail(ErrorCode::Invalid,
                    fmt::format("base 32 text has {} characters where {} are needed", text.size(), length));
    std::string bytes(byteCount, '\0');
    for (std::size_t k = 0; k < length; ++k) {
        const unsigned digit = kDigits[static_cast<unsigned char>(text[k])];
        if (digit == kNoDigit)
            return fail(
                ErrorCode::Invalid,
                fmt::format("base 32 text \"{}\" has a character outside of Nix's alphabet at position {}",
                            text, k));
        const std::size_t bit = 5 * (length - 1 - k);
        const std::size_t index = bit / 8;
        const unsigned shift = static_cast<unsigned>(bit % 8);
        bytes[index] =
            static_cast<char>(static_cast<unsigned char>(bytes[index]) | ((digit << shift) & 0xFFU));
        const unsigned carry = (digit << shift) >> 8U;
        if (index + 1 < byteCount)
            bytes[index + 1] = static_cast<char>(static_cast<unsigned char>(bytes[index + 1]) | carry);
        else if (carry != 0)
            return fail(ErrorCode::Invalid,
                        fmt::format("base 32 text \"{}\" has bits beyond {} bytes", text, byteCount));
    }
    return bytes;
}

} // namespace penstock::nix
