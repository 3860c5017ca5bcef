// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/replica/verdict.h"

#include "monitor-gui/replica/freshness.h"
#include "monitor-gui/replica/link_status.h"
#include "shared/base/text.h"

#include <fmt/format.h>

namespace penstock::gui {

namespace {

// A ready step with a free slot starts within a planning pass; longer needs an explanation.
constexpr Duration kSuspicious = std::chrono::seconds(15);

std::string plural(std::uint64_t count, std::string_view word)
{
    return fmt::format("{} {}{}", count, word, count == 1 ? "" : "s");
}

} // namespace

std::string describeNeeds(const QueueRecord& queue)
{
    std::string needs = queue.system.empty() || queue.system == "any" ? "any system" : queue.system;
    if (!queue.features.empty())
        needs += " with " + join(queue.features, ", ");
    return needs;
}

Verdict verdictOf(const QueueRecord& queue, WallTime serverNow)
{
    if (queue.queued == 0) {
        if (queue.running > 0)
            return {VerdictKind::Quiet, "Nothing waits; all of it is running."};
        if (queue.blocked > 0)
            return {VerdictKind::Quiet, "Waits for other steps to finish."};
        return {VerdictKind::Quiet, "Nothing to do."};
    }
    if (queue.eligibleMachines == 0)
        return {VerdictKind::Starving,
                "No connected machine can run these: needs " + describeNeeds(queue) + "."};
    const std::string machines = plural(queue.eligibleMachines, "machine");
    if (queue.freeSlots == 0)
        return {VerdictKind::Busy, fmt::format("Busy: no free slot on {} that can run these.", machines)};
    const std::optional<Duration> wait = ageOf(queue.oldestReady, serverNow);
    if (wait && *wait > kSuspicious) {
        return {VerdictKind::Starving,
                fmt::format("{} free on {}, yet the oldest waits {}: see gates and drains.",
                            plural(queue.freeSlots, "slot"), machines, formatAge(*wait))};
    }
    return {VerdictKind::Moving,
            fmt::format("Starting: {} free on {}.", plural(queue.freeSlots, "slot"), machines)};
}

} // namespace penstock::gui
