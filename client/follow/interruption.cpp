// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/follow/interruption.h"

#include "shared/base/text.h"

#include <csignal>

namespace penstock::client {

InterruptAction onSignal(FollowMode mode, int signal, bool terminal)
{
    if (signal == SIGHUP)
        return InterruptAction::Detach;
    if (mode == FollowMode::Cancelling)
        return InterruptAction::Leave;
    if (signal == SIGINT && terminal && mode == FollowMode::Following)
        return InterruptAction::Ask;
    return InterruptAction::Cancel;
}

InterruptAction onAnswer(std::string_view line)
{
    const auto answer = toLower(trim(line));
    if (answer == "d" || answer == "detach")
        return InterruptAction::Detach;
    if (answer == "c" || answer == "cancel")
        return InterruptAction::Cancel;
    if (answer.empty() || answer == "f" || answer == "follow")
        return InterruptAction::Continue;
    return InterruptAction::Ask;
}

} // namespace penstock::client
