// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nix/nar_rules.h"

#include "shared/base/text.h"

#include <fmt/format.h>

namespace penstock::nix {

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
