// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nix/cache_info.h"
#include "tests/support/golden.h"

#include <gtest/gtest.h>

namespace penstock::nix {
namespace {

TEST(CacheInfo, ReadsAndWritesWhatNixWrote)
{
    const std::string text = penstock::test::readGolden("nix/cache/nix-cache-info");
    const auto info = parseCacheInfo(text);
    ASSERT_TRUE(info) << info.error().message;
    EXPECT_EQ(*info, (CacheInfo{StoreDir::standard(), false, std::nullopt}));
    EXPECT_EQ(printCacheInfo(*info), text);
}

TEST(CacheInfo, ReadsWhatItPrints)
{
    const CacheInfo info{StoreDir::parse("/other/store").value(), true, 30};
    EXPECT_EQ(printCacheInfo(info), "StoreDir: /other/store\nWantMassQuery: 1\nPriority: 30\n");
    EXPECT_EQ(parseCacheInfo(printCacheInfo(info)).value(), info);
    EXPECT_EQ(parseCacheInfo(printCacheInfo({})).value(), CacheInfo{});
}

TEST(CacheInfo, PassesOverWhatItDoesNotKnow)
{
    const auto info = parseCacheInfo("hello\nFuture: x\r\n\nPriority:40\r\nWantMassQuery: 0");
    ASSERT_TRUE(info) << info.error().message;
    EXPECT_EQ(*info, (CacheInfo{std::nullopt, false, 40}));
}

TEST(CacheInfo, RefusesValuesThatAreNone)
{
    EXPECT_FALSE(parseCacheInfo("Priority: high\n"));
    EXPECT_FALSE(parseCacheInfo("StoreDir: nix/store\n"));
    EXPECT_EQ(parseCacheInfo(std::string(kMaxCacheInfoBytes + 1, 'x')).error().code, ErrorCode::Exhausted);
}

} // namespace
} // namespace penstock::nix
