// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/work/attempt.h"

#include <array>
#include <fmt/format.h>
#include <utility>

namespace penstock::work {
namespace {

struct Transition {
    AttemptProgress& progress;
    Now now;

    bool operator()(AttemptAccepted&) const
    {
        if (progress.state != AttemptState::Assigned)
            return false;
        progress.state = AttemptState::Running;
        return true;
    }
    bool operator()(AttemptRejected& event) const
    {
        if (progress.state != AttemptState::Assigned)
            return false;
        progress.state = AttemptState::Ended;
        progress.end = AttemptEnd::Rejected;
        progress.stopped = now.wall;
        progress.error = std::move(event.error);
        return true;
    }
    bool operator()(AttemptOver& event) const
    {
        if (progress.state == AttemptState::Ended || !event.report.end)
            return false;
        const std::optional<WallTime> started = progress.started;
        progress = std::move(event.report);
        progress.state = AttemptState::Ended;
        if (!progress.started)
            progress.started = started;
        if (!progress.stopped)
            progress.stopped = now.wall;
        return true;
    }
};

} // namespace

Result<AttemptProgress> next(const AttemptProgress& progress, AttemptEvent event, Now now)
{
    AttemptProgress moved = progress;
    const std::size_t kind = event.index();
    if (!std::visit(Transition{moved, now}, event)) {
        constexpr std::array<std::string_view, 3> kNames{"accepted", "rejected", "over"};
        return fail(ErrorCode::Conflict, fmt::format("the attempt is {}, so {} does not apply to it",
                                                     toString(progress.state), kNames[kind]));
    }
    return moved;
}

} // namespace penstock::work
