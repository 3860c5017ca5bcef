// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/link/back_off.h"

#include <algorithm>

namespace penstock::builder {

using protocol::GoodbyeReason;

std::chrono::milliseconds waitBeforeRetry(std::uint32_t failures, const std::optional<protocol::Goodbye>& goodbye,
                                          double unit)
{
    const std::uint32_t doublings = std::min(std::max(failures, 1U) - 1U, 10U);
    std::chrono::milliseconds wait = std::min(kFirstWait * (1U << doublings), kLongestWait);
    if (goodbye) {
        const bool forPeople = goodbye->reason == GoodbyeReason::Denied || goodbye->reason == GoodbyeReason::Version ||
                               goodbye->reason == GoodbyeReason::IdentityInUse;
        if (forPeople)
            wait = kRefusedWait;
        wait = std::max(wait, std::min(goodbye->retryAfter, kMaxAskedWait));
    }
    const double share = 0.5 + 0.5 * std::clamp(unit, 0.0, 1.0);
    return std::chrono::milliseconds(static_cast<std::int64_t>(static_cast<double>(wait.count()) * share));
}

} // namespace penstock::builder
