// SPDX-License-Identifier: GPL-3.0-or-later
// Numbers as people read them: ages, durations, sizes, times. Pure, callable from any thread.
#pragma once

#include "shared/base/clock.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace penstock::client {

// "0.4s", "12s", "5m", "3h20m", "2d4h": at most two units.
[[nodiscard]] std::string humanDuration(Duration duration);
// "512 B", "1.5 MiB".
[[nodiscard]] std::string humanBytes(std::uint64_t bytes);
// "1,234,567".
[[nodiscard]] std::string groupedNumber(std::uint64_t value);
// RFC 3339, with any fraction and offset; nothing when it is not one.
[[nodiscard]] std::optional<WallTime> parseRfc3339(std::string_view text);
// "timed_out" → "timed out".
[[nodiscard]] std::string words(std::string_view identifier);

} // namespace penstock::client
