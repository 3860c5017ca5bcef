// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/app/guardian.h"

#include "builder/app/recovery.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/close_range.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <thread>

namespace penstock::builder {
namespace {

constexpr char kOrderly = 'q';
constexpr int kWaitRounds = 100;
constexpr std::chrono::milliseconds kWaitRound{100};

FileHandle openLock(const WorkDirectory& directory)
{
    return FileHandle(::open((directory.path() + "/guardian.lock").c_str(),
                             O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
}

// Keeps the two descriptors and closes all others, above all the work directory's lock.
void closeOthers(int first, int second)
{
    const auto low = static_cast<unsigned>(std::min(first, second));
    const auto high = static_cast<unsigned>(std::max(first, second));
    if (low > 0)
        ::syscall(SYS_close_range, 0U, low - 1, 0U);
    if (high > low + 1)
        ::syscall(SYS_close_range, low + 1, high - 1, 0U);
    ::syscall(SYS_close_range, high + 1, ~0U, 0U);
}

[[noreturn]] void guard(const WorkDirectory& directory, int pipe, int lock)
{
    ::setsid(); // the terminal's signals are for the builder
    ::prctl(PR_SET_NAME, "penstock-guard");
    closeOthers(pipe, lock);
    if (::chdir("/") != 0)
        ::_exit(1);
    char word = 0;
    ssize_t got = 0;
    while ((got = ::read(pipe, &word, 1)) < 0 && errno == EINTR) {
    }
    if (got == 1 && word == kOrderly)
        ::_exit(0);
    const auto contents = Journal::read(directory.journalPath());
    if (contents)
        killLeftovers(directory.attemptsPath(), contents->entries, contents->bootId == bootId());
    ::_exit(0);
}

} // namespace

void Guardian::awaitFormer(const WorkDirectory& directory)
{
    const FileHandle lock = openLock(directory);
    for (int round = 0; round < kWaitRounds && ::flock(lock.get(), LOCK_EX | LOCK_NB) != 0; ++round)
        std::this_thread::sleep_for(kWaitRound);
}

Result<Guardian> Guardian::start(const WorkDirectory& directory)
{
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0)
        return fail(ErrorCode::Unavailable, fmt::format("cannot make a pipe: {}", std::strerror(errno)));
    const FileHandle readEnd(ends[0]);
    FileHandle writeEnd(ends[1]);
    const FileHandle lock = openLock(directory);
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0)
        return fail(ErrorCode::Conflict, "a former builder's guardian is still cleaning up");
    const pid_t child = ::fork();
    if (child < 0)
        return fail(ErrorCode::Unavailable, fmt::format("cannot fork: {}", std::strerror(errno)));
    if (child == 0) {
        // Forked twice, so that it is nobody's child here: the builder looks at its children for jobs' orphans.
        if (::fork() == 0)
            guard(directory, readEnd.get(), lock.get());
        ::_exit(0);
    }
    ::waitpid(child, nullptr, 0);
    return Guardian(std::move(writeEnd));
}

Guardian::~Guardian()
{
    if (m_pipe.isOpen() && ::write(m_pipe.get(), &kOrderly, 1) != 1)
        m_pipe.reset(); // it has ended already
}

} // namespace penstock::builder
