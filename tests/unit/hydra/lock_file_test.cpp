// SPDX-License-Identifier: GPL-3.0-or-later
// Other runners are other processes: children that hold the lock as one of Hydra's runners would.
#include "server/hydra/lock_file.h"

#include "tests/support/temp_directory.h"

#include <fcntl.h>
#include <filesystem>
#include <functional>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

namespace penstock::hydra {
namespace {

bool takeFlock(int descriptor)
{
    return ::flock(descriptor, LOCK_EX | LOCK_NB) == 0;
}

bool takeFcntl(int descriptor)
{
    struct flock lock{};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    return ::fcntl(descriptor, F_SETLK, &lock) == 0;
}

// Holds the lock from its construction to its end.
class OtherRunner {
public:
    OtherRunner(const std::string& path, bool (*take)(int))
    {
        int ready[2];
        int end[2];
        EXPECT_EQ(::pipe(ready), 0);
        EXPECT_EQ(::pipe(end), 0);
        m_child = ::fork();
        if (m_child == 0) {
            ::close(end[1]);
            const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT, 0666);
            const char took = take(descriptor) ? 'y' : 'n';
            char rest = 0;
            const bool said = ::write(ready[1], &took, 1) == 1;
            (void)::read(end[0], &rest, 1); // until the pipe ends
            ::_exit(said ? 0 : 1);
        }
        ::close(ready[1]);
        ::close(end[0]);
        char took = 0;
        EXPECT_EQ(::read(ready[0], &took, 1), 1);
        hasIt = took == 'y';
        ::close(ready[0]);
        m_end = end[1];
    }
    OtherRunner(const OtherRunner&) = delete;
    OtherRunner& operator=(const OtherRunner&) = delete;
    ~OtherRunner() { stop(); }
    void stop()
    {
        if (m_child <= 0)
            return;
        ::close(m_end);
        ::waitpid(m_child, nullptr, 0);
        m_child = 0;
    }
    [[nodiscard]] pid_t pid() const { return m_child; }
    bool hasIt = false;

private:
    pid_t m_child = 0;
    int m_end = -1;
};

class HydraLock : public ::testing::Test {
protected:
    [[nodiscard]] std::string data() const { return m_directory.path() + "/hydra"; }
    [[nodiscard]] std::string path() const { return data() + "/queue-runner/lock"; }

    test::TempDirectory m_directory;
};

TEST_F(HydraLock, MakesTheFileAndKeepsBothKindsOfRunnersOut)
{
    const auto lock = LockFile::take(data());
    ASSERT_TRUE(lock) << lock.error().message;
    EXPECT_EQ(lock->path(), path());
    EXPECT_FALSE(OtherRunner(path(), takeFlock).hasIt);
    EXPECT_FALSE(OtherRunner(path(), takeFcntl).hasIt);
}

TEST_F(HydraLock, IsGivenUpAtTheEndAndStays)
{
    {
        auto lock = LockFile::take(data());
        ASSERT_TRUE(lock);
        const LockFile moved = *std::move(lock);
        EXPECT_FALSE(OtherRunner(path(), takeFlock).hasIt);
    }
    EXPECT_TRUE(std::filesystem::exists(path()));
    EXPECT_TRUE(OtherRunner(path(), takeFlock).hasIt);
    EXPECT_TRUE(OtherRunner(path(), takeFcntl).hasIt);
    EXPECT_TRUE(LockFile::take(data()));
}

TEST_F(HydraLock, EitherKindOfRunnerIsAConflictThatSaysWhatToDo)
{
    std::filesystem::create_directories(data() + "/queue-runner");
    for (const auto take : {takeFlock, takeFcntl}) {
        OtherRunner other(path(), take);
        ASSERT_TRUE(other.hasIt);
        const auto lock = LockFile::take(data());
        ASSERT_FALSE(lock);
        EXPECT_EQ(lock.error().code, ErrorCode::Conflict);
        EXPECT_NE(lock.error().message.find(path()), std::string::npos);
        EXPECT_NE(lock.error().message.find("systemctl stop hydra-queue-runner"), std::string::npos);
        if (take == takeFcntl) {
            EXPECT_NE(lock.error().message.find(std::to_string(other.pid())), std::string::npos);
        }
        other.stop();
        EXPECT_TRUE(LockFile::take(data()));
    }
}

TEST_F(HydraLock, TwoOfOneProcessAreOneTooMany)
{
    const auto first = LockFile::take(data());
    ASSERT_TRUE(first);
    const auto second = LockFile::take(data());
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, ErrorCode::Conflict);
}

TEST_F(HydraLock, ADirectoryThatCannotBeWrittenIsNamed)
{
    const auto lock = LockFile::take("/proc/no-such-place");
    ASSERT_FALSE(lock);
    EXPECT_EQ(lock.error().code, ErrorCode::Internal);
    EXPECT_NE(lock.error().message.find("/proc/no-such-place/queue-runner"), std::string::npos);
    EXPECT_NE(lock.error().message.find("--hydra-data"), std::string::npos);
}

} // namespace
} // namespace penstock::hydra
