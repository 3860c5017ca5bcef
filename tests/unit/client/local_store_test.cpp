// SPDX-License-Identifier: GPL-3.0-or-later
#include "client/build/local_store.h"
#include "client/build/travel.h"

#include <gtest/gtest.h>

namespace penstock::client {
namespace {

StorePlace placeOf(const config::Environment& environment)
{
    const auto place = storePlace(environment);
    EXPECT_TRUE(place) << place.error().message;
    return place ? *place : StorePlace{};
}

TEST(StorePlace, IsTheDaemonsUsualSocketUnlessSomethingIsSaid)
{
    EXPECT_EQ(placeOf({}).socket, "/nix/var/nix/daemon-socket/socket");
    EXPECT_EQ(placeOf({{"NIX_REMOTE", "daemon"}, {"NIX_STATE_DIR", "/s"}}).socket, "/s/daemon-socket/socket");
    EXPECT_EQ(placeOf({{"NIX_DAEMON_SOCKET_PATH", "/run/s"}}).socket, "/run/s");
    EXPECT_EQ(placeOf({{"NIX_REMOTE", "unix://"}, {"NIX_DAEMON_SOCKET_PATH", "/run/s"}}).socket, "/run/s");
}

TEST(StorePlace, IsReadFromAUnixAddress)
{
    EXPECT_EQ(placeOf({{"NIX_REMOTE", "unix:///run/x"}, {"NIX_DAEMON_SOCKET_PATH", "/no"}}).socket, "/run/x");
    const auto place = placeOf({{"NIX_REMOTE", "unix:///run/x?trusted=1&root=/chroot&a=b"}});
    EXPECT_EQ(place.socket, "/run/x");
    EXPECT_EQ(place.root, "/chroot");
    EXPECT_FALSE(storePlace({{"NIX_REMOTE", "unix:///run/x?root=/a%20b"}}));
}

TEST(StorePlace, OfAStoreWithoutADaemonHasNoSocket)
{
    EXPECT_EQ(placeOf({{"NIX_REMOTE", "local"}}).socket, "");
    EXPECT_EQ(placeOf({{"NIX_REMOTE", "/some/where"}}).socket, "");
}

TEST(TransferLine, SaysPathsBytesAndRate)
{
    EXPECT_EQ(transferLine("sources", {40, 12, 20U << 20U, 3U << 20U}, std::chrono::seconds(2)),
              "sources: 12 of 40 paths, 3.0 of 20.0 MiB, 1.5 MiB/s");
    EXPECT_EQ(transferLine("outputs", {}, Duration(0)), "outputs: 0 of 0 paths, 0.0 of 0.0 MiB, 0.0 MiB/s");
}

} // namespace
} // namespace penstock::client
