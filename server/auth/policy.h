// SPDX-License-Identifier: GPL-3.0-or-later
// Policy: may this kind of peer do that; and which listening addresses are acceptable at all. Pure tables.
#pragma once

#include "server/auth/identity.h"
#include "shared/base/result.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace penstock::auth {

enum class Mode : std::uint8_t { Local, Tokens };
[[nodiscard]] std::string_view toString(Mode mode);
[[nodiscard]] Result<Mode> parseMode(std::string_view word);

enum class Action : std::uint8_t {
    ConnectBuilder, // open a builder link
    Watch,          // read jobs, machines, logs
    Submit,         // hand in, cancel, retry, hold and release jobs
    Operate,        // machines, shares, limits of namespaces, bumps, the pause of the farm
    ManageTokens,
    Fetch,  // store paths
    Upload, // store paths
};

// Denied, with a sentence for the peer.
[[nodiscard]] Result<void> mayDo(const Identity& who, Action action);

// May a peer without a token be taken as Local? Denied with what to do.
[[nodiscard]] Result<void> mayComeWithoutToken(const PeerAddress& peer, Mode mode);

struct ListenChoice {
    std::string address; // as given, for the message
    bool local = false;  // loopback or a Unix socket
    bool tls = false;
    Mode mode = Mode::Local;
    bool insecure = false;
};
// At start-up: Denied with the reason and the way out.
[[nodiscard]] Result<void> checkListen(const ListenChoice& choice);

// A browser must not be used against us: with an Origin header it must name the host it was sent to, and a
// tokenless local peer must have sent it to a name of this machine (DNS rebinding). Empty: no such header.
struct BrowserHeaders {
    std::string_view host;
    std::string_view origin;
};
[[nodiscard]] Result<void> checkBrowser(const BrowserHeaders& headers, bool localWithoutToken);

} // namespace penstock::auth
