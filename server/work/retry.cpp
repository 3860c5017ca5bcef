// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/work/retry.h"

#include <algorithm>

namespace penstock::work {
namespace {

// SplitMix64 (Steele, Lea, Flood 2014): spreads neighbouring numbers over the whole range.
std::uint64_t mix(std::uint64_t value)
{
    value += 0x9E3779B97F4A7C15U;
    value = (value ^ (value >> 30U)) * 0xBF58476D1CE4E5B9U;
    value = (value ^ (value >> 27U)) * 0x94D049BB133111EBU;
    return value ^ (value >> 31U);
}

} // namespace

Duration backOff(const RetryPolicy& policy, StepId step, std::uint32_t count)
{
    const std::int64_t max = std::max<std::int64_t>(policy.max.count(), 0);
    std::int64_t delay = std::clamp<std::int64_t>(policy.initial.count(), 0, max);
    const std::int64_t factor = std::max<std::int64_t>(policy.factor, 1);
    for (std::uint32_t i = 1; i < count && delay < max && factor > 1 && delay > 0; ++i)
        delay = delay > max / factor ? max : delay * factor;
    // Divided first, so that no product can overflow; the loss is below 100 microseconds.
    const std::int64_t spread = delay / 100 * std::min<std::int64_t>(policy.jitterPercent, 100);
    if (spread > 0) {
        const std::uint64_t drawn = mix(mix(step.value()) + count) % (static_cast<std::uint64_t>(spread) + 1);
        delay += std::min(static_cast<std::int64_t>(drawn), max - delay);
    }
    return Duration(delay);
}

} // namespace penstock::work
