// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/base/text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <fmt/format.h>

namespace penstock {
namespace {

template <class T> Result<T> parseWhole(std::string_view text, std::string_view kind)
{
    T value{};
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value);
    if (error != std::errc{} || stop != end || text.empty())
        return fail(ErrorCode::Invalid, fmt::format("\"{}\" is not {}", text, kind));
    return value;
}

struct Scaled {
    std::uint64_t number;
    std::string_view unit;
};

Result<Scaled> parseScaled(std::string_view text, std::string_view kind)
{
    std::uint64_t number = 0;
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, number);
    if (error != std::errc{})
        return fail(ErrorCode::Invalid, fmt::format("\"{}\" is not {}", text, kind));
    return Scaled{number, std::string_view(stop, static_cast<std::size_t>(end - stop))};
}

// Length of the well-formed UTF-8 sequence at the front, 0 if there is none.
std::size_t sequenceLength(std::string_view bytes)
{
    const auto at = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
    const auto follows = [&](std::size_t i) { return i < bytes.size() && (at(i) & 0xC0U) == 0x80U; };
    const unsigned char lead = at(0);
    if (lead < 0x80)
        return 1;
    if (lead >= 0xC2 && lead <= 0xDF)
        return follows(1) ? 2 : 0;
    if (lead >= 0xE0 && lead <= 0xEF) {
        if (!follows(1) || !follows(2) || (lead == 0xE0 && at(1) < 0xA0) || (lead == 0xED && at(1) > 0x9F))
            return 0;
        return 3;
    }
    if (lead >= 0xF0 && lead <= 0xF4) {
        if (!follows(1) || !follows(2) || !follows(3) || (lead == 0xF0 && at(1) < 0x90) ||
            (lead == 0xF4 && at(1) > 0x8F))
            return 0;
        return 4;
    }
    return 0;
}

std::size_t editDistance(std::string_view a, std::string_view b)
{
    std::vector<std::size_t> row(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j)
        row[j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
        std::size_t diagonal = row[0];
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t above = row[j];
            row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0U : 1U)});
            diagonal = above;
        }
    }
    return row[b.size()];
}

} // namespace

std::vector<std::string_view> split(std::string_view text, char separator)
{
    std::vector<std::string_view> parts;
    if (text.empty())
        return parts;
    std::size_t start = 0;
    for (std::size_t at = text.find(separator); at != std::string_view::npos; at = text.find(separator, start)) {
        parts.push_back(text.substr(start, at - start));
        start = at + 1;
    }
    parts.push_back(text.substr(start));
    return parts;
}

std::string join(std::span<const std::string> parts, std::string_view separator)
{
    std::string text;
    for (const std::string& part : parts) {
        if (&part != parts.data())
            text.append(separator);
        text.append(part);
    }
    return text;
}

std::string_view trim(std::string_view text)
{
    constexpr std::string_view kSpace = " \t\r\n\v\f";
    const std::size_t first = text.find_first_not_of(kSpace);
    if (first == std::string_view::npos)
        return {};
    return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

std::string toLower(std::string_view text)
{
    std::string lower(text);
    for (char& c : lower)
        if (c >= 'A' && c <= 'Z')
            c = static_cast<char>(c - 'A' + 'a');
    return lower;
}

Result<std::uint64_t> parseUnsigned(std::string_view text)
{
    return parseWhole<std::uint64_t>(text, "a whole number from 0 to 18446744073709551615");
}

Result<std::int64_t> parseSigned(std::string_view text)
{
    return parseWhole<std::int64_t>(text, "a whole number");
}

Result<double> parseDouble(std::string_view text)
{
    return parseWhole<double>(text, "a number");
}

Result<std::uint64_t> parseByteSize(std::string_view text)
{
    PENSTOCK_TRY(const Scaled scaled, parseScaled(text, "a size such as 512MiB"));
    std::string_view unit = scaled.unit;
    if (unit.ends_with('B'))
        unit.remove_suffix(1);
    std::uint64_t base = 1000;
    if (unit.ends_with('i')) {
        base = 1024;
        unit.remove_suffix(1);
    }
    constexpr std::string_view kPrefixes = "KMGT";
    std::uint64_t factor = 1;
    if (!unit.empty()) {
        const std::size_t power = kPrefixes.find(unit == "k" ? 'K' : unit.front());
        if (unit.size() != 1 || power == std::string_view::npos)
            return fail(ErrorCode::Invalid, fmt::format("\"{}\" is not a size such as 512MiB", text));
        for (std::size_t i = 0; i <= power; ++i)
            factor *= base;
    } else if (base == 1024) {
        return fail(ErrorCode::Invalid, fmt::format("\"{}\" is not a size such as 512MiB", text));
    }
    if (scaled.number > std::numeric_limits<std::uint64_t>::max() / factor)
        return fail(ErrorCode::Exhausted, fmt::format("size \"{}\" does not fit in 64 bits", text));
    return scaled.number * factor;
}

Result<Duration> parseDuration(std::string_view text)
{
    PENSTOCK_TRY(const Scaled scaled, parseScaled(text, "a duration such as 90s"));
    struct Unit {
        std::string_view name;
        std::uint64_t micros;
    };
    constexpr std::array<Unit, 6> kUnits{{{"", 1'000'000},
                                          {"s", 1'000'000},
                                          {"ms", 1'000},
                                          {"m", 60'000'000},
                                          {"h", 3'600'000'000},
                                          {"d", 86'400'000'000}}};
    for (const Unit& unit : kUnits) {
        if (unit.name != scaled.unit)
            continue;
        if (scaled.number > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) / unit.micros)
            return fail(ErrorCode::Exhausted, fmt::format("duration \"{}\" is too long", text));
        return Duration{static_cast<std::int64_t>(scaled.number * unit.micros)};
    }
    return fail(ErrorCode::Invalid, fmt::format("\"{}\" is not a duration such as 90s", text));
}

std::string formatRfc3339(WallTime at)
{
    using namespace std::chrono;
    const sys_time<Duration> time{at.sinceEpoch};
    const auto day = floor<days>(time);
    const year_month_day date{day};
    const hh_mm_ss clock{floor<milliseconds>(time - day)};
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", static_cast<int>(date.year()),
                       static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                       clock.hours().count(), clock.minutes().count(), clock.seconds().count(),
                       clock.subseconds().count());
}

bool isUtf8(std::string_view bytes)
{
    while (!bytes.empty()) {
        const std::size_t length = sequenceLength(bytes);
        if (length == 0)
            return false;
        bytes.remove_prefix(length);
    }
    return true;
}

std::string toValidUtf8(std::string_view bytes)
{
    std::string valid;
    valid.reserve(bytes.size());
    while (!bytes.empty()) {
        const std::size_t length = sequenceLength(bytes);
        if (length == 0)
            valid.append("\xEF\xBF\xBD");
        else
            valid.append(bytes.substr(0, length));
        bytes.remove_prefix(std::max<std::size_t>(length, 1));
    }
    return valid;
}

std::string_view nearestWord(std::string_view word, std::span<const std::string_view> candidates)
{
    std::string_view best;
    std::size_t bestDistance = 3;
    for (const std::string_view candidate : candidates) {
        const std::size_t distance = editDistance(word, candidate);
        if (distance < bestDistance) {
            best = candidate;
            bestDistance = distance;
        }
    }
    return best;
}

} // namespace penstock
