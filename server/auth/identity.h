// SPDX-License-Identifier: GPL-3.0-or-later
// Who is at the other end: where a connection comes from and, once checked, who it is. Pure values.
#pragma once

#include "shared/base/ids.h"

#include <cstdint>
#include <optional>
#include <string>

namespace penstock::auth {

struct PeerAddress {
    std::string text;     // "127.0.0.1:40312", "unix", for logs
    std::string host;     // address without port, what limits count by
    bool local = false;   // loopback or a Unix socket
    bool encrypted = false;
};

enum class Kind : std::uint8_t {
    Local,   // local peer without a token
    Builder, // a builder's token
    Client,  // a client's token
    Attempt, // a running attempt's grant
};

struct Identity {
    Kind kind = Kind::Local;
    std::string credential; // token id, or "local"
    std::string name;       // of the token; "local" otherwise: who did it, for logs and reasons
    std::optional<AttemptId> attempt = std::nullopt; // of Kind::Attempt
    friend bool operator==(const Identity&, const Identity&) = default;
};

} // namespace penstock::auth
