// SPDX-License-Identifier: GPL-3.0-or-later
// What the tests of moving bytes between real nix-daemons share: stores with the usual paths that share
// nothing.
#pragma once

#include "shared/nixdaemon/daemon_connection.h"
#include "tests/support/nar_samples.h"
#include "tests/support/nix_fixture.h"

#include <cstdlib>
#include <memory>
#include <utility>

#include <gtest/gtest.h>

namespace penstock::nixdaemon {

inline constexpr AddOptions kTrusting{false, true};

inline std::unique_ptr<test::NixFixture> startNix(bool isTrusted = true)
{
    test::NixFixtureOptions options;
    options.isChroot = true;
    options.isTrusted = isTrusted;
    auto started = test::NixFixture::start(options);
    if (!started) {
        ADD_FAILURE() << started.error().message;
        std::abort();
    }
    return *std::move(started);
}

inline std::unique_ptr<DaemonConnection> connect(const test::NixFixture& nix, unsigned minor = kNewestMinor)
{
    DaemonOptions options;
    options.storeDir = nix.storeDir();
    options.announcedMinor = minor;
    auto connection = DaemonConnection::open(nix.socketPath(), options);
    if (!connection) {
        ADD_FAILURE() << connection.error().message;
        std::abort();
    }
    EXPECT_TRUE((*connection)->setOptions({}));
    return *std::move(connection);
}

inline NarToAdd toAdd(const nix::NarInfo& info, ByteSource nar)
{
    return {info.path,
            {info.deriver, info.narHash, info.references, 0, info.narSize, false, info.signatures,
             info.contentAddress},
            std::move(nar)};
}

inline NarToAdd toAdd(const test::NarSample& sample)
{
    return toAdd(sample.info, test::sourceOf(sample.nar));
}

inline void expectSound(const test::NixFixture& nix)
{
    const auto verified = nix.run({"nix-store", "--verify", "--check-contents"});
    EXPECT_TRUE(verified) << verified.error().message;
}

} // namespace penstock::nixdaemon
