// SPDX-License-Identifier: GPL-3.0-or-later
// What a signal means while a job is followed. Pure. On a terminal the first Ctrl-C asks, the second cancels,
// the third leaves at once; elsewhere the first cancels. SIGTERM cancels, as it would end a local command.
// SIGHUP means that the terminal went away: the job goes on.
#pragma once

#include <cstdint>
#include <string_view>

namespace penstock::client {

enum class FollowMode : std::uint8_t { Following, Asking, Cancelling };
enum class InterruptAction : std::uint8_t { Ask, Cancel, Detach, Leave, Continue };

[[nodiscard]] InterruptAction onSignal(FollowMode mode, int signal, bool terminal);
// The answer to the question; Ask again when it is neither.
[[nodiscard]] InterruptAction onAnswer(std::string_view line);

} // namespace penstock::client
