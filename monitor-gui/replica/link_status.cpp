// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/replica/link_status.h"

#include <algorithm>
#include <fmt/format.h>

namespace penstock::gui {

namespace {

constexpr Duration kLagging = std::chrono::seconds(2);
constexpr Duration kStale = std::chrono::seconds(12);

Chip chipWhileOpen(const LinkStatus& status, std::optional<Instant> lastFarmMessage, Now now)
{
    if (!lastFarmMessage)
        return {ChipKind::Connecting, "Connected, waiting for the farm"};
    const Duration silence = now.mono - *lastFarmMessage;
    if (silence > kStale)
        return {ChipKind::Stale, "Stale for " + formatAge(silence)};
    // A server that declares a long period is not late before it.
    const Duration lag = silence - status.period;
    if (lag > kLagging)
        return {ChipKind::Lagging, "Lagging " + formatAge(lag)};
    if (status.roundTrip && *status.roundTrip > kLagging)
        return {ChipKind::Lagging, "Lagging " + formatAge(*status.roundTrip)};
    return {ChipKind::Live, "Live"};
}

} // namespace

Chip chipOf(const LinkStatus& status, std::optional<Instant> lastFarmMessage, Now now)
{
    switch (status.phase) {
    case LinkPhase::Idle: return {ChipKind::Idle, "Not connected"};
    case LinkPhase::Connecting:
        if (status.attempt > 1)
            return {ChipKind::Connecting, fmt::format("Connecting, try {}", status.attempt)};
        return {ChipKind::Connecting, "Connecting"};
    case LinkPhase::Open: return chipWhileOpen(status, lastFarmMessage, now);
    case LinkPhase::Refused: return {ChipKind::Refused, "Refused: " + status.reason};
    case LinkPhase::Waiting: break;
    }
    const Duration left = status.retryAt ? std::max(*status.retryAt - now.mono, Duration{0}) : Duration{0};
    const auto seconds = std::chrono::ceil<std::chrono::seconds>(left).count();
    return {ChipKind::Reconnecting, fmt::format("Reconnecting in {} s", seconds)};
}

bool isOutdated(ChipKind kind)
{
    switch (kind) {
    case ChipKind::Live:
    case ChipKind::Lagging: return false;
    case ChipKind::Idle:
    case ChipKind::Connecting:
    case ChipKind::Stale:
    case ChipKind::Reconnecting:
    case ChipKind::Refused: return true;
    }
    return true;
}

Duration BackOff::delay(std::uint32_t attempt, double random) const
{
    Duration base = first;
    for (std::uint32_t done = 1; done < attempt && base < longest; ++done)
        base *= 2;
    base = std::min(base, longest);
    const double factor = 1.0 + jitter * (2.0 * random - 1.0);
    return Duration{static_cast<std::int64_t>(static_cast<double>(base.count()) * factor)};
}

std::string formatAge(Duration age)
{
    using namespace std::chrono;
    if (age < Duration{0})
        age = Duration{0};
    if (age < seconds(1))
        return fmt::format("{} ms", duration_cast<milliseconds>(age).count());
    const std::int64_t total = duration_cast<seconds>(age).count();
    if (total < 60)
        return fmt::format("{} s", total);
    if (total < 3600)
        return total < 600 ? fmt::format("{} min {:02} s", total / 60, total % 60)
                           : fmt::format("{} min", total / 60);
    if (total < 86'400)
        return fmt::format("{} h {:02} min", total / 3600, total / 60 % 60);
    return fmt::format("{} d {} h", total / 86'400, total / 3600 % 24);
}

} // namespace penstock::gui
