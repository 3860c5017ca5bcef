// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/exec/attempt_folder.h"

#include "tests/unit/builder/temp_directory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

namespace penstock::builder {
namespace {

TEST(AttemptFolder, IsRemovedHoweverDeep)
{
    const TempDirectory temp;
    const std::string root = temp.path() + "/t";
    ASSERT_EQ(::mkdir(root.c_str(), 0700), 0);
    int at = ::open(root.c_str(), O_RDONLY | O_DIRECTORY);
    for (int i = 0; i < 3000; ++i) { // far beyond PATH_MAX
        ASSERT_EQ(::mkdirat(at, "dddddddd", 0700), 0);
        const int below = ::openat(at, "dddddddd", O_RDONLY | O_DIRECTORY);
        ::close(at);
        at = below;
    }
    ::close(at);
    EXPECT_TRUE(removeTree(root));
    EXPECT_FALSE(std::filesystem::exists(root));
}

TEST(AttemptFolder, FollowsNoLink)
{
    const TempDirectory temp;
    std::filesystem::create_directories(temp.path() + "/outside/kept");
    std::filesystem::create_directories(temp.path() + "/t");
    std::filesystem::create_directory_symlink(temp.path() + "/outside", temp.path() + "/t/link");
    EXPECT_TRUE(removeTree(temp.path() + "/t"));
    EXPECT_TRUE(std::filesystem::exists(temp.path() + "/outside/kept"));
    std::filesystem::create_directory_symlink(temp.path() + "/outside", temp.path() + "/t");
    EXPECT_TRUE(removeTree(temp.path() + "/t"));
    EXPECT_TRUE(std::filesystem::exists(temp.path() + "/outside/kept"));
    EXPECT_FALSE(std::filesystem::exists(temp.path() + "/t"));
}

TEST(AttemptFolder, MissingIsFineAndExistingIsAConflict)
{
    const TempDirectory temp;
    EXPECT_TRUE(removeTree(temp.path() + "/nothing"));
    const AttemptFolder folder = folderOf(temp.path(), AttemptId(5));
    EXPECT_TRUE(makeFolder(folder));
    const auto again = makeFolder(folder);
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error().code, ErrorCode::Conflict);
}

} // namespace
} // namespace penstock::builder
