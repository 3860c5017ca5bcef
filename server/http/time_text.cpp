// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/http/time_text.h"

#include "shared/base/text.h"

#include <fmt/format.h>

#include <chrono>
#include <optional>

namespace penstock::http {
namespace {

std::optional<unsigned> digits(std::string_view text, std::size_t at, std::size_t count)
{
    if (at + count > text.size())
        return std::nullopt;
    unsigned number = 0;
    for (const char c : text.substr(at, count)) {
        if (c < '0' || c > '9')
            return std::nullopt;
        number = number * 10 + static_cast<unsigned>(c - '0');
    }
    return number;
}

std::optional<Duration> timeOfDay(std::string_view text)
{
    if (text.empty())
        return Duration(0);
    const auto hour = digits(text, 1, 2);
    const auto minute = digits(text, 4, 2);
    const auto second = digits(text, 7, 2);
    if (text.size() < 10 || !hour || !minute || !second || *hour > 23 || *minute > 59 || *second > 59 ||
        text[0] != 'T' || text[3] != ':' || text[6] != ':' || text.back() != 'Z')
        return std::nullopt;
    std::string_view fraction = text.substr(9, text.size() - 10);
    if (!fraction.empty() && (fraction.front() != '.' || fraction.size() < 2 ||
                              !digits(fraction, 1, fraction.size() - 1)))
        return std::nullopt;
    return std::chrono::hours(*hour) + std::chrono::minutes(*minute) + std::chrono::seconds(*second);
}

} // namespace

Result<WallTime> parseRfc3339(std::string_view text)
{
    const auto year = digits(text, 0, 4);
    const auto month = digits(text, 5, 2);
    const auto day = digits(text, 8, 2);
    const auto refusal = [&] {
        return fail(ErrorCode::Invalid, fmt::format("\"{}\" is no time; write it like 2027-01-31T12:00:00Z",
                                                    toValidUtf8(text.substr(0, 40))));
    };
    if (!year || !month || !day || text[4] != '-' || text[7] != '-' || text.size() > 30)
        return refusal();
    const std::chrono::year_month_day date{std::chrono::year(static_cast<int>(*year)), std::chrono::month(*month),
                                           std::chrono::day(*day)};
    const auto rest = timeOfDay(text.substr(10));
    if (!date.ok() || !rest)
        return refusal();
    return WallTime{std::chrono::sys_days(date).time_since_epoch() + *rest};
}

std::string formatPlainIso(WallTime at)
{
    std::string text = formatRfc3339(at); // …T06:17:16.250Z
    text.pop_back();
    return text + "000";
}

} // namespace penstock::http
