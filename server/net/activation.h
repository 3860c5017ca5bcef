// SPDX-License-Identifier: GPL-3.0-or-later
// Sockets that systemd opened for us (sd_listen_fds(3)): LISTEN_FDS of them, from descriptor 3 on, with the names in
// LISTEN_FDNAMES. Looks at each to know its address; takes none over. Called from main before any thread exists.
// Invalid: there are none, or one is no socket that listens.
#pragma once

#include "server/net/listen_address.h"
#include "shared/base/result.h"

#include <string>
#include <string_view>
#include <vector>

namespace penstock::net {

struct ActivationNote { // the variables, as they are; empty: not set
    std::string pid;
    std::string count;
    std::string names; // with : between
};

struct ActivatedSocket {
    std::string name; // empty: none was told
    ListenAddress address;
};

[[nodiscard]] Result<std::vector<ActivatedSocket>> activatedSockets(const ActivationNote& note);
// The one of that name; when none has it, the one at that place.
[[nodiscard]] Result<ListenAddress> activatedSocket(const ActivationNote& note, std::string_view name,
                                                    std::size_t place);

} // namespace penstock::net
