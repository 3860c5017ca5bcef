// SPDX-License-Identifier: GPL-3.0-or-later
// What operators do to the farm as a whole: order, pauses, shares, limits, trust.
#include "server/core/detail/farm.h"

#include <fmt/format.h>

namespace penstock::core::detail {

void Farm::on(BumpJob& event)
{
    reply(event.request, fail(ErrorCode::NotFound, fmt::format("no job {}", event.job.value())));
}

void Farm::on(HoldJob& event)
{
    reply(event.request, fail(ErrorCode::NotFound, fmt::format("no job {}", event.job.value())));
}

void Farm::on(PauseDispatch& event)
{
    reply(event.request, std::variant<Submitted, Done>(Done{}));
}

void Farm::on(SetShares& event)
{
    reply(event.request, std::variant<Submitted, Done>(Done{}));
}

void Farm::on(SetNamespace& event)
{
    reply(event.request, std::variant<Submitted, Done>(Done{}));
}

void Farm::on(SetThresholds& event)
{
    reply(event.request, std::variant<Submitted, Done>(Done{}));
}

void Farm::on(TrustMachine& event)
{
    reply(event.request, std::variant<Submitted, Done>(Done{}));
}

void Farm::on(RemoveMachine& event)
{
    reply(event.request, std::variant<Submitted, Done>(Done{}));
}

std::vector<ShareView> Farm::shares(Now) const
{
    return {};
}

std::vector<NamespaceView> Farm::namespaces() const
{
    return {};
}

} // namespace penstock::core::detail
