// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/store/postgres/text.h"

#include "shared/base/text.h"

#include <fmt/core.h>

namespace penstock::store::postgres {
namespace {

constexpr std::string_view kMark = "\x01hex:";
constexpr std::string_view kDigits = "0123456789abcdef";

} // namespace

std::string toColumnText(std::string_view bytes)
{
    if (isUtf8(bytes) && bytes.find('\0') == std::string_view::npos && !bytes.starts_with(kMark))
        return std::string(bytes);
    std::string text(kMark);
    text.reserve(kMark.size() + 2 * bytes.size());
    for (const char c : bytes) {
        const auto value = static_cast<unsigned char>(c);
        text += kDigits[value >> 4U];
        text += kDigits[value & 0xFU];
    }
    return text;
}

Result<std::string> fromColumnText(std::string_view text)
{
    if (!text.starts_with(kMark))
        return std::string(text);
    const std::string_view hex = text.substr(kMark.size());
    std::string bytes;
    bytes.reserve(hex.size() / 2);
    for (std::size_t at = 0; at + 1 < hex.size(); at += 2) {
        const std::size_t high = kDigits.find(hex[at]);
        const std::size_t low = kDigits.find(hex[at + 1]);
        if (high == std::string_view::npos || low == std::string_view::npos)
            return fail(ErrorCode::Corrupt, "a stored text is marked as hex but holds other characters");
        bytes += static_cast<char>(high << 4U | low);
    }
    if (hex.size() % 2 != 0)
        return fail(ErrorCode::Corrupt, fmt::format("a stored hex text has an odd length ({})", hex.size()));
    return bytes;
}

} // namespace penstock::store::postgres
