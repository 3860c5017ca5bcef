// SPDX-License-Identifier: GPL-3.0-or-later
// When and how long to wait before a request is tried again. Pure; the random number is passed in.
#pragma once

#include "shared/base/clock.h"
#include "shared/base/result.h"

#include <cstdint>
#include <optional>
#include <string_view>

namespace penstock::curl {

struct BackOff {
    Duration initial = std::chrono::milliseconds(200);
    unsigned factor = 2;
    Duration cap = std::chrono::seconds(20);
    unsigned attempts = 6; // with the first
};

// Before retry 1, 2, …: initial · factor^(retry − 1), at most cap; of that a random half to whole, so that
// many who failed together do not come back together. A server's Retry-After makes it longer, up to cap.
[[nodiscard]] Duration delayBefore(const BackOff& backOff, unsigned retry, std::uint32_t random,
                                   std::optional<Duration> retryAfter = std::nullopt);

// The server may well answer otherwise next time: 408, 425, 429, 500, 502, 503, 504.
[[nodiscard]] bool isWorthRetrying(unsigned status);
// Unavailable and Timeout.
[[nodiscard]] bool isWorthRetrying(ErrorCode code);

// The value of a Retry-After header: seconds, or a date ("Fri, 24 May 2013 00:00:00 GMT"). None when it is
// neither.
[[nodiscard]] std::optional<Duration> parseRetryAfter(std::string_view value, WallTime now);

} // namespace penstock::curl
