// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/work/retry.h"

#include <algorithm>
#include <utility>

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

// At most most, without overflow; neither is negative.
std::int64_t scaled(std::int64_t delay, std::uint64_t thousandths, std::int64_t most)
{
    const auto limit = static_cast<std::uint64_t>(most);
    const auto whole = static_cast<std::uint64_t>(delay) / 1'000;
    const auto rest = static_cast<std::uint64_t>(delay) % 1'000;
    if (thousandths > 0 && whole > limit / thousandths)
        return most;
    return static_cast<std::int64_t>(std::min(whole * thousandths + rest * thousandths / 1'000, limit));
}

// Neither is negative, and delay is not above max.
Duration spread(std::int64_t delay, std::int64_t max, std::uint32_t percent, StepId step, std::uint32_t count)
{
    // Divided first, so that no product can overflow; the loss is below 100 microseconds.
    const std::int64_t spread = delay / 100 * std::min<std::int64_t>(percent, 100);
    if (spread > 0) {
        const std::uint64_t drawn = mix(mix(step.value()) + count) % (static_cast<std::uint64_t>(spread) + 1);
        delay += std::min(static_cast<std::int64_t>(drawn), max - delay);
    }
    return Duration(delay);
}

} // namespace

Duration backOff(const RetryPolicy& policy, StepId step, std::uint32_t count)
{
    const std::int64_t max = std::max<std::int64_t>(policy.max.count(), 0);
    std::int64_t delay = std::clamp<std::int64_t>(policy.initial.count(), 0, max);
    const std::int64_t factor = std::max<std::int64_t>(policy.factor, 1);
    for (std::uint32_t i = 1; i < count && delay < max && factor > 1 && delay > 0; ++i)
        delay = delay > max / factor ? max : delay * factor;
    return spread(delay, max, policy.jitterPercent, step, count);
}

Duration backOff(const FarmBackOff& policy, StepId step, std::uint32_t count)
{
    const std::int64_t max = std::max<std::int64_t>(policy.max.count(), 0);
    std::int64_t delay = std::clamp<std::int64_t>(policy.initial.count(), 0, max);
    for (std::uint32_t i = 1; i < count; ++i)
        if (const std::int64_t before = std::exchange(delay, scaled(delay, policy.factorThousandths, max));
            delay == before) // it stays so, however many there were
            break;
    return spread(delay, max, policy.jitterPercent, step, count);
}

} // namespace penstock::work
