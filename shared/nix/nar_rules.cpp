// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nix/nar_rules.h"

#include "shared/base/text.h"

#include <algorithm>

#include <fmt/format.h>

namespace penstock::nix {

std::uint64_t readNarNumber(const char* bytes)
{
    std::uint64_t value = 0;
    for (unsigned i = 0; i < kNarWord; ++i)
        value |= std::uint64_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
    return value;
}

void appendNarNumber(std::string& out, std::uint64_t value)
{
    for (unsigned shift = 0; shift < 64; shift += 8)
        out.push_back(static_cast<char>((value >> shift) & 0xFFU));
}

void appendNarString(std::string& out, std::string_view text)
{
    appendNarNumber(out, text.size());
    out.append(text).append(narPadding(text.size()), '\0');
}

const char* NarItems::take(std::string_view& bytes, std::size_t count)
{
    if (m_isWhole) {
        m_kept.clear();
        m_isWhole = false;
    }
    if (m_kept.empty() && bytes.size() >= count) {
        const char* piece = count == 0 ? "" : bytes.data();
        bytes.remove_prefix(count);
        return piece;
    }
    const std::size_t taken = std::min(count - m_kept.size(), bytes.size());
    m_kept.append(bytes.substr(0, taken));
    bytes.remove_prefix(taken);
    m_isWhole = m_kept.size() == count;
    return m_isWhole ? m_kept.data() : nullptr;
}

std::string narNameFault(std::string_view name)
{
    if (name.empty())
        return "an entry has no name";
    if (name == "." || name == "..")
        return fmt::format("an entry is named '{}'", name);
    if (name.find('/') != std::string_view::npos || name.find('\0') != std::string_view::npos)
        return fmt::format("the name '{}' has a slash or NUL in it", toValidUtf8(name));
    return {};
}

std::string narTargetFault(std::string_view target)
{
    if (target.empty())
        return "a link has no target";
    if (target.find('\0') != std::string_view::npos)
        return fmt::format("the link target '{}' has NUL in it", toValidUtf8(target));
    return {};
}

std::string narOrderFault(std::string_view previous, std::string_view name)
{
    // string_view compares as unsigned bytes, as the rule asks.
    if (!previous.empty() && name <= previous)
        return fmt::format("the name '{}' comes after '{}'; names must ascend", toValidUtf8(name),
                           toValidUtf8(previous));
    return {};
}

} // namespace penstock::nix
