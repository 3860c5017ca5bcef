// SPDX-License-Identifier: GPL-3.0-or-later
// ListenAddress: one value of --listen. Pure value; parse returns Invalid and says what forms there are.
#pragma once

#include "shared/base/result.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace penstock::net {

struct ListenAddress {
    enum class Kind : std::uint8_t { Tcp, Unix, Systemd };
    Kind kind = Kind::Tcp;
    std::string host;       // numeric address without brackets, or "localhost"
    std::uint16_t port = 0; // 0: any free one
    std::string path;       // of a Unix socket
    int descriptor = -1;    // it is open already, and this is it

    // "127.0.0.1:7780", "[::]:7780", "localhost:0", "unix:/run/penstock/socket", "systemd".
    [[nodiscard]] static Result<ListenAddress> parse(std::string_view text);
    [[nodiscard]] std::string print() const;
    [[nodiscard]] bool isLocal() const; // loopback or Unix
};

} // namespace penstock::net
