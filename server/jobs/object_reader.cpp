// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/jobs/object_reader.h"

#include "shared/base/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

namespace penstock::jobs {
namespace {

bool isNullValue(const nix::JsonValue& value)
{
    return !value.asBool() && !value.asNumber() && !value.asString() && !value.asArray() && !value.asObject();
}

bool isWordCharacter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
           c == '.' || c == '@' || c == '/' || c == '+';
}

std::string shorten(std::string_view text)
{
    constexpr std::size_t kShown = 60;
    return text.size() <= kShown ? std::string(text) : toValidUtf8(text.substr(0, kShown)) + "…";
}

std::string secondsText(Duration duration)
{
    return fmt::format("{}s", std::chrono::duration_cast<std::chrono::seconds>(duration).count());
}

} // namespace

Result<ObjectReader> ObjectReader::open(const nix::JsonValue& value, std::string path,
                                        std::span<const std::string_view> known)
{
    PENSTOCK_TRY(auto reader, openAny(value, std::move(path)));
    for (const auto& [key, member] : *reader.m_object) {
        if (std::ranges::find(known, std::string_view(key)) == known.end()) {
            const auto nearest = nearestWord(key, known);
            return reader.refuse(shorten(key), nearest.empty()
                                                   ? std::string("unknown key")
                                                   : fmt::format("unknown key (did you mean \"{}\"?)", nearest));
        }
    }
    return reader;
}

Result<ObjectReader> ObjectReader::openAny(const nix::JsonValue& value, std::string path)
{
    const auto* object = value.asObject();
    if (!object)
        return fail(ErrorCode::Invalid, fmt::format("{}must be an object", path.empty() ? "" : path + ": "));
    ObjectReader reader(*object, std::move(path));
    std::set<std::string_view> seen;
    for (const auto& [key, member] : *object) {
        if (!seen.insert(key).second)
            return reader.refuse(shorten(key), "given twice; give it once");
    }
    return reader;
}

std::vector<std::string> ObjectReader::keys() const
{
    std::vector<std::string> keys;
    for (const auto& [key, member] : *m_object)
        keys.push_back(key);
    return keys;
}

bool ObjectReader::isNull(std::string_view key) const
{
    return std::ranges::any_of(
        *m_object, [&](const auto& member) { return member.first == key && isNullValue(member.second); });
}

const nix::JsonValue* ObjectReader::find(std::string_view key) const
{
    const auto found = std::ranges::find_if(*m_object, [&](const auto& member) { return member.first == key; });
    return found == m_object->end() || isNullValue(found->second) ? nullptr : &found->second;
}

std::string ObjectReader::pathOf(std::string_view key) const
{
    return m_path.empty() ? std::string(key) : fmt::format("{}.{}", m_path, key);
}

tl::unexpected<Error> ObjectReader::refuse(std::string_view key, std::string_view what) const
{
    return fail(ErrorCode::Invalid, fmt::format("{}: {}", pathOf(key), what));
}

Result<std::optional<std::string>> ObjectReader::text(std::string_view key, std::size_t maxBytes) const
{
    const auto* value = find(key);
    if (!value)
        return std::nullopt;
    const auto* found = value->asString();
    if (!found)
        return refuse(key, "must be text");
    if (found->size() > maxBytes)
        return refuse(key, fmt::format("has {} bytes, more than the limit of {}", found->size(), maxBytes));
    if (!isPlainText(*found))
        return refuse(key, "must be UTF-8 without NUL characters");
    return *found;
}

Result<std::optional<std::string>> ObjectReader::word(std::string_view key, std::size_t maxBytes) const
{
    PENSTOCK_TRY(auto word, text(key, maxBytes));
    if (word && !isWord(*word, maxBytes))
        return refuse(key, fmt::format("\"{}\" must be made of letters, digits and _ - . @ / +", *word));
    return word;
}

Result<std::optional<std::int64_t>> ObjectReader::integer(std::string_view key, std::int64_t least,
                                                          std::int64_t most) const
{
    const auto* value = find(key);
    if (!value)
        return std::nullopt;
    const auto* found = value->asNumber();
    const auto parsed = found ? parseSigned(found->text) : fail(ErrorCode::Invalid, {});
    if (!parsed)
        return refuse(key, fmt::format("must be a whole number from {} to {}{}", least, most,
                                       found ? ", not " + shorten(found->text) : ""));
    if (*parsed < least || *parsed > most)
        return refuse(key, fmt::format("must be from {} to {}, not {}", least, most, *parsed));
    return *parsed;
}

Result<std::optional<double>> ObjectReader::number(std::string_view key, double least, double most) const
{
    const auto* value = find(key);
    if (!value)
        return std::nullopt;
    const auto* found = value->asNumber();
    const auto parsed = found ? parseDouble(found->text) : fail(ErrorCode::Invalid, {});
    if (!parsed || !std::isfinite(*parsed) || *parsed < least || *parsed > most)
        return refuse(key, fmt::format("must be a number from {} to {}", least, most));
    return *parsed;
}

Result<std::optional<bool>> ObjectReader::flag(std::string_view key) const
{
    const auto* value = find(key);
    if (!value)
        return std::nullopt;
    if (const auto* found = value->asBool())
        return *found;
    return refuse(key, "must be true or false");
}

Result<std::optional<Duration>> ObjectReader::duration(std::string_view key, Duration least, Duration most) const
{
    const auto* value = find(key);
    if (!value)
        return std::nullopt;
    Duration found{0};
    const auto bounds = fmt::format("from {} to {}", secondsText(least), secondsText(most));
    if (const auto* number = value->asNumber()) {
        const auto seconds = parseDouble(number->text);
        // Compared before the conversion, so that it cannot overflow.
        if (!seconds || !(*seconds >= -1e9 && *seconds <= 1e9))
            return refuse(key, fmt::format("must be {}, not {}", bounds, shorten(number->text)));
        found = Duration(std::llround(*seconds * 1e6));
    } else if (const auto* text = value->asString()) {
        const auto parsed = parseDuration(*text);
        if (!parsed)
            return refuse(key, fmt::format("\"{}\" is no duration; write seconds, or \"90s\", \"5m\", \"1h\"",
                                           shorten(*text)));
        found = *parsed;
    } else {
        return refuse(key, "must be a number of seconds or text like \"5m\"");
    }
    if (found < least || found > most)
        return refuse(key, fmt::format("must be {}, not {}s", bounds, static_cast<double>(found.count()) / 1e6));
    return found;
}

Result<std::optional<std::uint64_t>> ObjectReader::bytes(std::string_view key, Span allowed) const
{
    const auto* value = find(key);
    if (!value)
        return std::nullopt;
    Result<std::uint64_t> found = fail(ErrorCode::Invalid, {});
    if (const auto* number = value->asNumber())
        found = parseUnsigned(number->text);
    else if (const auto* text = value->asString())
        found = parseByteSize(*text);
    if (!found)
        return refuse(key, "must be a number of bytes or text like \"512MiB\"");
    if (*found < allowed.least || *found > allowed.most)
        return refuse(key, fmt::format("must be from {} to {} bytes, not {}", allowed.least, allowed.most, *found));
    return *found;
}

Result<std::vector<std::string>> ObjectReader::texts(std::string_view key, std::size_t maxCount,
                                                     std::size_t maxBytes) const
{
    std::vector<std::string> out;
    const auto* value = find(key);
    if (!value)
        return out;
    const auto* array = value->asArray();
    if (!array)
        return refuse(key, "must be a list of texts");
    if (array->size() > maxCount)
        return refuse(key, fmt::format("has {} entries, more than the limit of {}", array->size(), maxCount));
    for (const auto& item : *array) {
        const auto* text = item.asString();
        const auto where = fmt::format("{}[{}]", key, out.size());
        if (!text || text->empty() || !isPlainText(*text))
            return refuse(where, "must be text, not empty, without NUL characters");
        if (text->size() > maxBytes)
            return refuse(where, fmt::format("has {} bytes, more than the limit of {}", text->size(), maxBytes));
        out.push_back(*text);
    }
    return out;
}

bool isWord(std::string_view text, std::size_t maxBytes)
{
    return !text.empty() && text.size() <= maxBytes && std::ranges::all_of(text, isWordCharacter);
}

bool isPlainText(std::string_view text)
{
    return text.find('\0') == std::string_view::npos && isUtf8(text);
}

} // namespace penstock::jobs
