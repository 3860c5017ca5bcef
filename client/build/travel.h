// SPDX-License-Identifier: GPL-3.0-or-later
// Store paths between this machine and a server whose store shares nothing with it: the sources of a build go there
// before it is submitted, its outputs come back when it has succeeded. Progress is shown on the console. Blocking; top
// level of a command only. What was begun and not published is forgotten by the server.
#pragma once

#include "client/app/invocation.h"
#include "client/build/local_store.h"
#include "shared/nix/signing.h"
#include "shared/transfer/store_maker.h"

#include <string>
#include <vector>

namespace penstock::client {

// "sources: 12 of 40 paths, 3.4 of 20.1 MiB, 1.2 MiB/s"
[[nodiscard]] std::string transferLine(std::string_view what, const transfer::TransferProgress& progress,
                                       Duration since);

class Travel {
public:
    Travel(Invocation& invocation, const LocalStore& store) : m_invocation(invocation), m_store(store) {}

    // What the server has not: the paths with all they refer to. Paths that are not valid here are left to the server.
    // Nothing when the server has no such road (an older one). Denied names what it refuses, with what to do.
    [[nodiscard]] Result<void> sendSources(const std::vector<std::string>& paths);
    // With keys, each path must be signed by one of them or prove its content address; without, the link is trusted.
    [[nodiscard]] Result<void> fetch(const std::vector<std::string>& paths,
                                     const std::vector<nix::PublicKey>& trustedKeys);

private:
    [[nodiscard]] Result<bool> serverHasRoad();
    [[nodiscard]] transfer::OnProgress shower(std::string what);
    void sum(std::string_view what, const transfer::TransferProgress& done, Duration took);

    Invocation& m_invocation;
    const LocalStore& m_store;
    SystemClock m_clock;
};

} // namespace penstock::client
