// SPDX-License-Identifier: GPL-3.0-or-later
// What is special to directories: disks that are full, rights, crashes. The rest is in the contract suite.
#include "server/cache/dir_store.h"
#include "tests/support/temp_directory.h"

#include <csignal>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <functional>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

namespace penstock::cache {
namespace {

namespace fs = std::filesystem;

struct DirStoreTest : ::testing::Test {
    test::TempDirectory directory;
    const std::string root = directory.path() + "/cache";

    std::unique_ptr<DirStore> open()
    {
        auto store = DirStore::open(root);
        EXPECT_TRUE(store) << store.error().message;
        return *std::move(store);
    }
    [[nodiscard]] std::size_t temporaries() const
    {
        return static_cast<std::size_t>(
            std::distance(fs::directory_iterator(root + "/.penstock-tmp"), fs::directory_iterator()));
    }
};

// What the work says, from a process of its own in a mount namespace of its own, which an ordinary user may
// have too.
std::string inNamespace(const std::function<std::string()>& work)
{
    int answer[2];
    EXPECT_EQ(::pipe(answer), 0);
    const pid_t child = ::fork();
    if (child == 0) {
        const int flags = ::geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWNS | CLONE_NEWUSER;
        std::string said = "unshare failed";
        if (::unshare(flags) == 0 && ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0)
            said = work();
        const ssize_t wrote = ::write(answer[1], said.data(), said.size());
        ::_exit(wrote < 0 ? 1 : 0);
    }
    ::close(answer[1]);
    std::string said;
    char piece[4096];
    for (ssize_t got = 0; (got = ::read(answer[0], piece, sizeof piece)) > 0;)
        said.append(piece, static_cast<std::size_t>(got));
    ::close(answer[0]);
    ::waitpid(child, nullptr, 0);
    return said;
}

TEST_F(DirStoreTest, AFullDiskIsExhaustedAndNamesPathAndBytesAndLeavesNothing)
{
    fs::create_directory(root);
    const std::string said = inNamespace([this]() -> std::string {
        if (::mount("none", root.c_str(), "tmpfs", 0, "size=1m") != 0)
            return "mount failed";
        const auto store = DirStore::open(root);
        if (!store)
            return store.error().message;
        const std::string piece(200'000, 'x');
        Result<void> done;
        {
            const auto writer = (*store)->create("nar/large", {});
            if (!writer)
                return writer.error().message;
            for (int i = 0; i < 10 && done; ++i)
                done = (*writer)->write(piece);
        }
        if (done)
            return "it had room";
        const auto after = (*store)->putText("nar/small", piece, {}); // the room is given back
        return fmt::format("{}|{}|{}|{}", toString(done.error().code), done.error().message, temporaries(),
                           after ? "again" : after.error().message);
    });
    EXPECT_TRUE(said.starts_with("exhausted|")) << said;
    EXPECT_NE(said.find(root + "/nar/large"), std::string::npos) << said;
    EXPECT_NE(said.find("bytes after 1048576"), std::string::npos) << said;
    EXPECT_TRUE(said.ends_with("|0|again")) << said;
}

TEST_F(DirStoreTest, AReadOnlyDiskIsDeniedForWritersAndFineForReaders)
{
    ASSERT_TRUE(open()->putText("k", "text", {}));
    const std::string said = inNamespace([this]() -> std::string {
        if (::mount(root.c_str(), root.c_str(), nullptr, MS_BIND, nullptr) != 0)
            return "bind failed";
        const auto before = DirStore::open(root);
        if (!before)
            return before.error().message;
        if (::mount("none", root.c_str(), nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY, nullptr) != 0)
            return "remount failed";
        const auto reader = DirStore::open(root, DirAccess::ReadOnly);
        const auto put = (*before)->putText("k", "new", {});
        const auto opened = DirStore::open(root + "/deeper");
        return fmt::format("{} {} {}", reader ? (*reader)->getText("k", 10).value_or("unread") : "unopened",
                           put ? "put" : toString(put.error().code),
                           opened ? "opened" : toString(opened.error().code));
    });
    EXPECT_EQ(said, "text denied denied");
}

TEST_F(DirStoreTest, OpenedForReadingWritesNothing)
{
    EXPECT_EQ(DirStore::open(root, DirAccess::ReadOnly).error().code, ErrorCode::NotFound);
    ASSERT_TRUE(open()->putText("k", "x", {}));
    const auto store = DirStore::open(root, DirAccess::ReadOnly).value();
    EXPECT_EQ(store->getText("k", 10).value(), "x");
    EXPECT_EQ(store->putText("k", "y", {}).error().code, ErrorCode::Denied);
    EXPECT_EQ(store->putMany({{"k", "y", {}}}).error().code, ErrorCode::Denied);
    EXPECT_EQ(store->remove("k").error().code, ErrorCode::Denied);
}

TEST_F(DirStoreTest, RemovesWhatACrashLeftAndNotWhatARunningServerWrites)
{
    const auto running = open();
    const auto writer = running->create("nar/alive", {}).value();
    ASSERT_TRUE(writer->write(std::string(100'000, 'x')));
    const pid_t child = ::fork();
    if (child == 0) {
        const auto dying = DirStore::open(root).value()->create("nar/dead", {});
        const auto wrote = (*dying)->write(std::string(100'000, 'x'));
        ::kill(::getpid(), SIGKILL);
        ::_exit(wrote ? 0 : 1);
    }
    ::waitpid(child, nullptr, 0);
    EXPECT_EQ(temporaries(), 2U);
    const auto next = open();
    EXPECT_EQ(temporaries(), 1U);
    ASSERT_TRUE(writer->commit());
    EXPECT_TRUE(next->head("nar/alive").value());
    EXPECT_FALSE(next->head("nar/dead").value());
    EXPECT_EQ(temporaries(), 0U);
}

TEST_F(DirStoreTest, DoesNotTakeAReplacedDirectoryForAnEmptyStore)
{
    const auto store = open();
    ASSERT_TRUE(store->putText("k", "x", {}));
    fs::rename(root, root + "-moved");
    fs::create_directory(root); // as a mount point whose disk went away
    EXPECT_TRUE(store->head("k").value());
}

TEST_F(DirStoreTest, NeedsAnAbsolutePathAndADirectory)
{
    EXPECT_EQ(DirStore::open("relative").error().code, ErrorCode::Invalid);
    std::ofstream(root) << "a file";
    EXPECT_FALSE(DirStore::open(root));
}

} // namespace
} // namespace penstock::cache
