// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/config/values.h"

#include "shared/base/check.h"
#include "shared/base/text.h"

namespace penstock::config {
namespace {

// parse() has checked the text, so a refusal here is our own mistake.
template <class T> T checked(const Result<T>& result)
{
    PENSTOCK_CHECK(result.has_value());
    return *result;
}

} // namespace

const Values::Entry& Values::entry(std::string_view name) const
{
    const auto found = m_entries.find(name);
    PENSTOCK_CHECK(found != m_entries.end());
    return found->second;
}

const std::string* Values::single(std::string_view name, Kind kind) const
{
    const Entry& found = entry(name);
    PENSTOCK_CHECK(found.kind == kind && !found.isList);
    return found.texts.empty() ? nullptr : &found.texts.front();
}

bool Values::flag(std::string_view name) const
{
    const std::string* text = single(name, Kind::Flag);
    return text != nullptr && *text == "true";
}

std::string Values::text(std::string_view name) const
{
    const std::string* text = single(name, Kind::Text);
    return text == nullptr ? std::string() : *text;
}

std::int64_t Values::integer(std::string_view name) const
{
    const std::string* text = single(name, Kind::Integer);
    return text == nullptr ? 0 : checked(parseSigned(*text));
}

double Values::number(std::string_view name) const
{
    const std::string* text = single(name, Kind::Number);
    return text == nullptr ? 0.0 : checked(parseDouble(*text));
}

std::uint64_t Values::size(std::string_view name) const
{
    const std::string* text = single(name, Kind::Size);
    return text == nullptr ? 0 : checked(parseByteSize(*text));
}

Duration Values::duration(std::string_view name) const
{
    const std::string* text = single(name, Kind::Duration);
    return text == nullptr ? Duration{0} : checked(parseDuration(*text));
}

const std::vector<std::string>& Values::list(std::string_view name) const
{
    const Entry& found = entry(name);
    PENSTOCK_CHECK(found.isList);
    return found.texts;
}

std::string Values::argument(std::string_view name) const
{
    const std::vector<std::string>& texts = arguments(name);
    return texts.empty() ? std::string() : texts.front();
}

const std::vector<std::string>& Values::arguments(std::string_view name) const
{
    const auto found = m_arguments.find(name);
    PENSTOCK_CHECK(found != m_arguments.end());
    return found->second;
}

} // namespace penstock::config
