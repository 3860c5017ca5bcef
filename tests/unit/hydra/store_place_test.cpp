// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/store_opening.h"

#include <gtest/gtest.h>

namespace penstock::app {
namespace {

std::string place(const std::vector<std::string>& stores, const std::string& remote)
{
    std::vector<cache::StoreUri> uris;
    for (const std::string& store : stores)
        uris.push_back(cache::parseStoreUri(store).value());
    config::Environment environment;
    if (!remote.empty())
        environment["NIX_REMOTE"] = remote;
    return realStoreDir(uris, "/nix/store", environment);
}

TEST(StorePlace, IsTheStoreDirectoryWhereNothingElseIsSaid)
{
    EXPECT_EQ(place({"local"}, ""), "/nix/store");
    EXPECT_EQ(place({"file:///cache"}, ""), "/nix/store");
    EXPECT_EQ(place({"local"}, "daemon"), "/nix/store");
    EXPECT_EQ(place({"local"}, "unix:///run/socket"), "/nix/store");
    EXPECT_EQ(place({"local"}, "unix:///run/socket?trusted=true"), "/nix/store");
}

TEST(StorePlace, IsBelowTheRootThatNixIsToldOf)
{
    for (const char* remote : {"/far", "local?root=/far", "unix:///run/socket?root=/far",
                               "unix:///run/socket?trusted=true&root=/far"})
        for (const char* store : {"local", "file:///cache"})
            EXPECT_EQ(place({store}, remote), "/far/nix/store") << store << " " << remote;
}

TEST(StorePlace, IsBelowTheRootOfTheFirstLocalStoreBeforeThat)
{
    EXPECT_EQ(place({"file:///cache", "local?root=/near"}, "/far"), "/near/nix/store");
}

} // namespace
} // namespace penstock::app
