// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/cache/orphans.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/cache/cache_fixture.h"

#include <algorithm>
#include <filesystem>

namespace penstock::cache {
namespace {

constexpr Duration kDay = std::chrono::hours(24);

// The wall clock is now, moved as asked; every question takes a while.
struct MovedClock final : Clock {
    Duration ahead{0};
    Duration step{0};
    mutable Instant at{kDay};
    [[nodiscard]] Now now() const override
    {
        at = at + step;
        return {at, WallTime{SystemClock().now().wall.sinceEpoch + ahead}};
    }
};

struct OrphansTest : CacheTest {
    test::TempDirectory directory;
    MovedClock moved;
    std::unique_ptr<BinaryCache> cache;
    DirStore* files = nullptr;
    TestPath a = makePath("a");
    TestPath b = makePath("b", {a});
    TestPath orphan = makePath("orphan");

    void SetUp() override
    {
        auto store = DirStore::open(directory.path() + "/cache").value();
        files = store.get();
        cache = BinaryCache::open(std::move(store), options, clock, logger).value();
        ASSERT_TRUE(sendAndPublish(*cache, {a, b}));
        ASSERT_TRUE(send(*cache, orphan));
        moved.ahead = kDay + std::chrono::hours(1);
    }
    [[nodiscard]] bool has(const TestPath& path) const
    {
        return files->head(cache->narKey(path.info)).value().has_value();
    }
};

TEST_F(OrphansTest, OnlyWhatNoNarInfoNamesIsRemoved)
{
    const auto swept = removeOrphanNars(*files, moved, {});
    ASSERT_TRUE(swept) << swept.error().message;
    EXPECT_EQ(swept->removed, 1U);
    EXPECT_TRUE(swept->isWhole);
    EXPECT_TRUE(has(a) && has(b));
    EXPECT_FALSE(has(orphan));
    EXPECT_EQ(removeOrphanNars(*files, moved, {})->removed, 0U);
}

TEST_F(OrphansTest, WhatIsYoungIsLeft)
{
    moved.ahead = std::chrono::hours(23);
    EXPECT_EQ(removeOrphanNars(*files, moved, {})->removed, 0U);
    EXPECT_TRUE(has(orphan));
}

TEST_F(OrphansTest, NothingIsRemovedWhenNotAllWasRead)
{
    moved.step = std::chrono::seconds(6);
    const auto slow = removeOrphanNars(*files, moved, {});
    ASSERT_TRUE(slow);
    EXPECT_FALSE(slow->isWhole);
    const auto many = removeOrphanNars(*files, moved, {.maxFiles = 2});
    ASSERT_TRUE(many);
    EXPECT_FALSE(many->isWhole);
    EXPECT_TRUE(has(a) && has(b) && has(orphan));
}

TEST_F(OrphansTest, NothingIsRemovedWhenANarInfoCannotBeRead)
{
    ASSERT_TRUE(files->putText(std::string(32, 'a') + ".narinfo", "StorePath: cut off", {}));
    const auto swept = removeOrphanNars(*files, moved, {});
    ASSERT_FALSE(swept);
    EXPECT_EQ(swept.error().code, ErrorCode::Corrupt);
    EXPECT_NE(swept.error().message.find(std::string(32, 'a') + ".narinfo"), std::string::npos);
    EXPECT_TRUE(has(a) && has(b) && has(orphan));
}

} // namespace
} // namespace penstock::cache
