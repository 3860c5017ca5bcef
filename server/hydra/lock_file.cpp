// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/hydra/lock_file.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace penstock::hydra {
namespace {

constexpr int kTries = 20; // a runner that ends removes the file when it has let go of it

tl::unexpected<Error> cannot(std::string_view what, const std::string& path)
{
    return fail(ErrorCode::Internal, fmt::format("{} {}: {}; Hydra's data directory (--hydra-data) must be writable by "
                                                 "the server's user",
                                                 what, path, std::strerror(errno)));
}

bool isTaken(int error)
{
    return error == EWOULDBLOCK || error == EACCES;
}

struct flock wholeFile()
{
    struct flock lock{};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    return lock;
}

tl::unexpected<Error> held(int descriptor, const std::string& path)
{
    struct flock lock = wholeFile();
    const bool isKnown = ::fcntl(descriptor, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK && lock.l_pid > 0;
    return fail(ErrorCode::Conflict,
                fmt::format("{} is locked by another queue runner{}; only one may write Hydra's tables: stop it "
                            "(systemctl stop hydra-queue-runner, or the other penstock-server), then start this one. "
                            "The file itself need not be removed",
                            path, isKnown ? fmt::format(" (process {})", lock.l_pid) : std::string()));
}

// Whether what the path names now is what is open.
bool isStill(const std::string& path, int descriptor)
{
    struct stat named {};
    struct stat opened {};
    return ::stat(path.c_str(), &named) == 0 && ::fstat(descriptor, &opened) == 0 && named.st_dev == opened.st_dev &&
           named.st_ino == opened.st_ino;
}

// Where the file system knows only one of them, that one is enough.
Result<void> lockBoth(int descriptor, const std::string& path)
{
    const bool isFlocked = ::flock(descriptor, LOCK_EX | LOCK_NB) == 0;
    if (!isFlocked && isTaken(errno))
        return held(descriptor, path);
    const struct flock whole = wholeFile();
    if (::fcntl(descriptor, F_SETLK, &whole) == 0)
        return {};
    if (isTaken(errno))
        return held(descriptor, path);
    return isFlocked ? Result<void>() : cannot("locking", path);
}

} // namespace

LockFile::LockFile(std::string path, int descriptor) : m_path(std::move(path)), m_descriptor(descriptor) {}

LockFile::LockFile(LockFile&& other) noexcept
    : m_path(std::move(other.m_path)), m_descriptor(std::exchange(other.m_descriptor, -1))
{
}

LockFile& LockFile::operator=(LockFile&& other) noexcept
{
    std::swap(m_path, other.m_path);
    std::swap(m_descriptor, other.m_descriptor);
    return *this;
}

LockFile::~LockFile()
{
    if (m_descriptor >= 0)
        ::close(m_descriptor);
}

Result<LockFile> LockFile::take(const std::string& dataDir)
{
    const std::string folder = dataDir + "/queue-runner";
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    if (error)
        return fail(ErrorCode::Internal,
                    fmt::format("making {}: {}; Hydra's data directory (--hydra-data) must be writable by the server's "
                                "user",
                                folder, error.message()));
    const std::string path = folder + "/lock";
    for (int tries = 0; tries < kTries; ++tries) {
        const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0666);
        if (descriptor < 0)
            return cannot("opening", path);
        LockFile file(path, descriptor);
        PENSTOCK_TRY_VOID(lockBoth(descriptor, path));
        if (isStill(path, descriptor))
            return file;
    }
    return fail(ErrorCode::Conflict,
                fmt::format("{} is removed again and again while it is being locked; find out which queue runner is "
                            "being restarted, and stop it",
                            path));
}

} // namespace penstock::hydra
