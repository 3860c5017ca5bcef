// SPDX-License-Identifier: GPL-3.0-or-later
// How long to wait before the next try to connect. Pure; randomness comes in as a number.
#pragma once

#include "shared/protocol/link_values.h"

#include <chrono>
#include <cstdint>
#include <optional>

namespace penstock::builder {

inline constexpr std::chrono::milliseconds kFirstWait{250};
inline constexpr std::chrono::milliseconds kLongestWait{15'000};
// After a refusal that only a person can mend (credential, version): asking more often helps nobody.
inline constexpr std::chrono::milliseconds kRefusedWait{30'000};
inline constexpr std::chrono::milliseconds kMaxAskedWait{600'000}; // what a server may ask for

// failures: tries since the last connection that worked, from 1. unit: random, 0 to 1; half of the wait is jitter,
// so that many builders do not return in step.
[[nodiscard]] std::chrono::milliseconds waitBeforeRetry(std::uint32_t failures,
                                                        const std::optional<protocol::Goodbye>& goodbye, double unit);

} // namespace penstock::builder
