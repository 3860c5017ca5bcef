// SPDX-License-Identifier: GPL-3.0-or-later
// Where a server listens, read from --server. HTTP and WebSocket share one port, so ws://, http:// and a bare
// host:port name the same thing. Pure, callable from any thread. Invalid when the text is not such an
// address.
#pragma once

#include "shared/base/result.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace penstock::client {

inline constexpr std::uint16_t kDefaultPort = 7780;

struct Endpoint {
    bool tls = false;
    std::string host; // name or address, IPv6 without brackets
    std::uint16_t port = kDefaultPort;
    std::string base; // path prefix without a final slash, mostly empty

    // "ws://host:port/base" or "wss://…": what is shown to people.
    [[nodiscard]] std::string text() const;
    // "host:port", with brackets where needed: the Host header.
    [[nodiscard]] std::string authority() const;
    friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

// ws, wss and no scheme: port 7780 unless given; http: 80, https: 443.
[[nodiscard]] Result<Endpoint> parseEndpoint(std::string_view text);

} // namespace penstock::client
