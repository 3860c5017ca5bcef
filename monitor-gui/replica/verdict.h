// SPDX-License-Identifier: GPL-3.0-or-later
// One sentence that says how a queue is doing and why. Pure, callable from any thread. It says only what the
// record shows; the full reason of one step is the server's to give (penstock why).
#pragma once

#include "monitor-gui/replica/records.h"

namespace penstock::gui {

enum class VerdictKind : std::uint8_t { Quiet, Moving, Busy, Starving };

struct Verdict {
    VerdictKind kind = VerdictKind::Quiet;
    std::string sentence;
};

[[nodiscard]] Verdict verdictOf(const QueueRecord& queue, WallTime serverNow);

// "x86_64-linux with kvm, big-parallel"; "any system".
[[nodiscard]] std::string describeNeeds(const QueueRecord& queue);

} // namespace penstock::gui
