// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/exec/attempt_folder.h"

#include "tests/support/temp_directory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

namespace penstock::builder {
namespace {

using test::TempDirectory;

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

TEST(AttemptFolder, MissingIsFine)
{
    const TempDirectory temp;
    EXPECT_TRUE(removeTree(temp.path() + "/nothing"));
}

TEST(FolderPool, UsesAnUntouchedPairAgain)
{
    const TempDirectory temp;
    FolderPool pool(temp.path());
    const auto first = pool.take();
    const auto second = pool.take();
    ASSERT_TRUE(first && second);
    EXPECT_NE(first->path, second->path);
    EXPECT_TRUE(pool.giveBack(*first));
    EXPECT_EQ(pool.take()->path, first->path);
    EXPECT_TRUE(pool.giveBack(*first) && pool.giveBack(*second));
    pool.removeKept();
    EXPECT_TRUE(std::filesystem::is_empty(temp.path()));
}

TEST(FolderPool, RefusesWhatWasUsed)
{
    const TempDirectory temp;
    FolderPool pool(temp.path());
    const auto filled = pool.take();
    const auto filledTemporary = pool.take();
    const auto opened = pool.take();
    const auto removed = pool.take();
    ASSERT_TRUE(filled && filledTemporary && opened && removed);
    ASSERT_EQ(::mkdir((filled->path + "/.hidden").c_str(), 0700), 0);
    ASSERT_EQ(::symlink("/", (filledTemporary->temporary + "/link").c_str()), 0);
    ASSERT_EQ(::chmod(opened->path.c_str(), 0777), 0);
    ASSERT_EQ(::rmdir(removed->path.c_str()), 0);
    for (const auto& folder : {filled, filledTemporary, opened, removed})
        EXPECT_FALSE(pool.giveBack(*folder)) << folder->path;
    EXPECT_FALSE(pool.keepsSome());
}

TEST(FolderPool, RefusesANameThatIsTaken)
{
    const TempDirectory temp;
    ASSERT_EQ(::mkdir((temp.path() + "/1").c_str(), 0700), 0);
    const auto folder = FolderPool(temp.path()).take();
    ASSERT_FALSE(folder);
    EXPECT_EQ(folder.error().code, ErrorCode::Conflict);
}

} // namespace
} // namespace penstock::builder
