// SPDX-License-Identifier: GPL-3.0-or-later
// The messages that a nix-daemon sends before a result: reads them up to the last one and hands them to a
// DaemonEvents sink. Corrupt when the stream is out of step. One thread at a time.
#pragma once

#include "shared/base/result.h"
#include "shared/nixdaemon/daemon_events.h"
#include "shared/nixdaemon/wire.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace penstock::nixdaemon {

// The daemon's error, which takes the place of a result.
struct Complaint {
    std::string text;             // without colours, "error: " and white space at its ends
    std::uint64_t exitStatus = 0; // below 1.26 only (nix-formats 5.6)
};

// Nothing when the result follows.
[[nodiscard]] Result<std::optional<Complaint>> readMessages(WireReader& reader, unsigned minor,
                                                            DaemonEvents& events);

// Without terminal escape sequences (CSI … letter, OSC … BEL or ST) and other control characters but newline
// and tab.
[[nodiscard]] std::string stripAnsi(std::string_view text);

} // namespace penstock::nixdaemon
