// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/output/human_text.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <QDateTime>

namespace penstock::client {

std::string humanDuration(Duration duration)
{
    const auto micros = std::max<std::int64_t>(duration.count(), 0);
    if (micros < 10'000'000)
        return fmt::format("{}.{}s", micros / 1'000'000, micros / 100'000 % 10);
    const auto seconds = micros / 1'000'000;
    if (seconds < 120)
        return fmt::format("{}s", seconds);
    const auto minutes = seconds / 60;
    if (minutes < 60)
        return seconds % 60 == 0 || minutes >= 10 ? fmt::format("{}m", minutes)
                                                  : fmt::format("{}m{}s", minutes, seconds % 60);
    const auto hours = minutes / 60;
    if (hours < 24)
        return minutes % 60 == 0 ? fmt::format("{}h", hours) : fmt::format("{}h{}m", hours, minutes % 60);
    return hours % 24 == 0 ? fmt::format("{}d", hours / 24) : fmt::format("{}d{}h", hours / 24, hours % 24);
}

std::string humanBytes(std::uint64_t bytes)
{
    static constexpr std::array kUnits{"KiB", "MiB", "GiB", "TiB", "PiB"};
    if (bytes < 1024)
        return fmt::format("{} B", bytes);
    auto value = static_cast<double>(bytes) / 1024.0;
    std::size_t unit = 0;
    while (value >= 1023.95 && unit + 1 < kUnits.size()) {
        value /= 1024.0;
        ++unit;
    }
    return fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string groupedNumber(std::uint64_t value)
{
    auto digits = std::to_string(value);
    for (auto at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3)
        digits.insert(static_cast<std::size_t>(at), 1, ',');
    return digits;
}

std::optional<WallTime> parseRfc3339(std::string_view text)
{
    const auto string = QString::fromUtf8(text.data(), static_cast<qsizetype>(text.size()));
    const auto time = QDateTime::fromString(string, Qt::ISODateWithMs);
    if (!time.isValid() || time.timeSpec() == Qt::LocalTime)
        return std::nullopt;
    return WallTime::fromMicros(time.toMSecsSinceEpoch() * 1000);
}

std::string words(std::string_view identifier)
{
    std::string out(identifier);
    std::replace(out.begin(), out.end(), '_', ' ');
    return out;
}

} // namespace penstock::client
