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
#include <variant>

namespace penstock::nixdaemon {

// The daemon's error, which takes the place of a result.
struct Complaint {
    std::string text;             // without colours, "error: " and white space at its ends
    std::uint64_t exitStatus = 0; // below 1.26 only (nix-formats 5.6)
};

struct Told {};   // an event, handed to the sink
struct Done {};   // the result follows
struct Wanted {}; // the daemon wants data: a number follows, answer with a string of up to so many bytes
using Message = std::variant<Told, Done, Wanted, Complaint>;
[[nodiscard]] Result<Message> readMessage(WireReader& reader, unsigned minor, DaemonEvents& events);

// The daemon's error behind its message number.
[[nodiscard]] Result<Complaint> readComplaint(WireReader& reader, unsigned minor);
inline constexpr std::uint64_t kErrorMessage = 0x63787470;

// Reads up to the last one. Nothing when the result follows.
[[nodiscard]] Result<std::optional<Complaint>> readMessages(WireReader& reader, unsigned minor,
                                                            DaemonEvents& events);

// Without terminal escape sequences (CSI … letter, OSC … BEL or ST) and other control characters but newline
// and tab.
[[nodiscard]] std::string stripAnsi(std::string_view text);

} // namespace penstock::nixdaemon
