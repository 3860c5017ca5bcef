// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/curl/retry.h"

#include "shared/base/text.h"

#include <algorithm>
#include <array>

namespace penstock::curl {
namespace {

constexpr std::uint64_t kMaxSeconds = 366ULL * 24 * 3600;

std::optional<int> numberOf(std::string_view text)
{
    const Result<std::uint64_t> value = parseUnsigned(text);
    return value && *value <= 9999 ? std::optional(static_cast<int>(*value)) : std::nullopt;
}

// RFC 9110 5.6.7, the one form that servers may send today: "Fri, 24 May 2013 00:00:00 GMT".
std::optional<WallTime> parseHttpDate(std::string_view text)
{
    constexpr std::array<std::string_view, 12> kMonths{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    if (text.size() != 29 || text.substr(3, 2) != ", " || text.substr(25) != " GMT" || text[19] != ':' ||
        text[22] != ':')
        return std::nullopt;
    const auto* const month = std::ranges::find(kMonths, text.substr(8, 3));
    const std::optional<int> day = numberOf(text.substr(5, 2));
    const std::optional<int> year = numberOf(text.substr(12, 4));
    const std::optional<int> hours = numberOf(text.substr(17, 2));
    const std::optional<int> minutes = numberOf(text.substr(20, 2));
    const std::optional<int> seconds = numberOf(text.substr(23, 2));
    if (month == kMonths.end() || !day || !year || !hours || !minutes || !seconds)
        return std::nullopt;
    const std::chrono::year_month_day date{
        std::chrono::year(*year), std::chrono::month(static_cast<unsigned>(month - kMonths.begin()) + 1),
        std::chrono::day(static_cast<unsigned>(*day))};
    if (!date.ok())
        return std::nullopt;
    return WallTime{std::chrono::sys_days(date).time_since_epoch() + std::chrono::hours(*hours) +
                    std::chrono::minutes(*minutes) + std::chrono::seconds(*seconds)};
}

} // namespace

Duration delayBefore(const BackOff& backOff, unsigned retry, std::uint32_t random,
                     std::optional<Duration> retryAfter)
{
    Duration whole = std::min(backOff.initial, backOff.cap);
    for (unsigned i = 1; i < retry && whole < backOff.cap; ++i)
        whole = whole > backOff.cap / std::max(backOff.factor, 1U) ? backOff.cap : whole * backOff.factor;
    const auto half = static_cast<std::uint64_t>(whole.count() / 2);
    const std::uint64_t part = (half * (random >> 16U)) >> 16U; // exact for caps of up to eight years
    const Duration delay = whole - Duration(half) + Duration(part);
    return std::max(delay, std::min(retryAfter.value_or(Duration(0)), backOff.cap));
}

bool isWorthRetrying(unsigned status)
{
    constexpr std::array<unsigned, 7> kPassing{408, 425, 429, 500, 502, 503, 504};
    return std::ranges::find(kPassing, status) != kPassing.end();
}

bool isWorthRetrying(ErrorCode code)
{
    return code == ErrorCode::Unavailable || code == ErrorCode::Timeout;
}

std::optional<Duration> parseRetryAfter(std::string_view value, WallTime now)
{
    value = trim(value);
    if (const Result<std::uint64_t> seconds = parseUnsigned(value))
        return std::chrono::seconds(std::min(*seconds, kMaxSeconds));
    const std::optional<WallTime> date = parseHttpDate(value);
    if (!date)
        return std::nullopt;
    return std::max(Duration(0), date->sinceEpoch - now.sinceEpoch);
}

} // namespace penstock::curl
