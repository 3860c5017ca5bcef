// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/http/byte_range.h"

#include "shared/base/text.h"

#include <algorithm>
#include <optional>

namespace penstock::http {
namespace {

// Digits only: parsers of numbers may take more than the grammar has.
std::optional<std::uint64_t> position(std::string_view text)
{
    if (text.empty() || !std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; }))
        return std::nullopt;
    const auto number = parseUnsigned(text);
    return number ? *number : UINT64_MAX; // more than any size
}

} // namespace

RangeChoice chooseRange(std::string_view value, std::uint64_t size)
{
    const RangeChoice whole{RangeKind::Whole, 0, size};
    constexpr std::string_view kUnit = "bytes=";
    if (value.size() <= kUnit.size() || toLower(value.substr(0, kUnit.size())) != kUnit)
        return whole;
    const auto range = trim(value.substr(kUnit.size()));
    const auto dash = range.find('-');
    if (dash == std::string_view::npos || range.find(',') != std::string_view::npos)
        return whole;
    const auto first = position(range.substr(0, dash));
    const auto last = position(range.substr(dash + 1));
    if (dash == 0) { // the last so many bytes
        if (!last)
            return whole;
        const auto length = std::min(*last, size);
        return length == 0 ? RangeChoice{RangeKind::Unsatisfiable, 0, 0}
                           : RangeChoice{RangeKind::Part, size - length, length};
    }
    if (!first || (!last && dash + 1 < range.size()) || (last && *last < *first))
        return whole;
    if (*first >= size)
        return {RangeKind::Unsatisfiable, 0, 0};
    const auto end = last ? std::min(*last, size - 1) : size - 1;
    return {RangeKind::Part, *first, end - *first + 1};
}

RangeChoice chooseRange(const RequestHead& head, std::string_view entityTag, std::uint64_t size)
{
    const auto condition = head.header("if-range");
    if (!condition.empty() && condition != entityTag)
        return {RangeKind::Whole, 0, size};
    return chooseRange(head.header("range"), size);
}

bool hasAlready(const RequestHead& head, std::string_view entityTag)
{
    for (const auto part : split(head.header("if-none-match"), ',')) {
        auto tag = trim(part);
        if (tag == "*")
            return true;
        if (tag.starts_with("W/"))
            tag.remove_prefix(2);
        if (tag == entityTag)
            return true;
    }
    return false;
}

} // namespace penstock::http
