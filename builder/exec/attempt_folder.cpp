// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/exec/attempt_folder.h"

#include "builder/spool/file_handle.h"

#include <cerrno>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <memory>
#include <string_view>
#include <sys/stat.h>
#include <vector>

namespace penstock::builder {
namespace {

constexpr int kMaxDepth = 32; // open directories at once; deeper ones are moved up to the root of the tree first

struct CloseDirectory {
    void operator()(DIR* directory) const { ::closedir(directory); }
};
using Directory = std::unique_ptr<DIR, CloseDirectory>;

Error lastError(std::string_view what, std::string_view name)
{
    return {ErrorCode::Unavailable, fmt::format("cannot {} {}: {}", what, name, std::strerror(errno))};
}

// Opens a directory without following a link; one that its owner made unreadable is made readable first.
Directory openBelow(int parent, const char* name)
{
    constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd = ::openat(parent, name, kFlags);
    if (fd < 0 && errno == EACCES && ::fchmodat(parent, name, 0700, 0) == 0)
        fd = ::openat(parent, name, kFlags);
    if (fd < 0)
        return nullptr;
    struct stat info = {};
    if (::fstat(fd, &info) == 0 && (info.st_mode & 0700U) != 0700U)
        ::fchmod(fd, 0700); // else its entries could not be removed
    Directory result(::fdopendir(fd));
    if (!result)
        ::close(fd);
    return result;
}

class TreeRemover {
public:
    explicit TreeRemover(int root) : m_root(root) {}

    // Empties the directory. Entries that were moved up from the depths are left to the next pass over the root.
    Result<void> empty(DIR* directory, int depth)
    {
        const int fd = ::dirfd(directory);
        for (;;) {
            errno = 0;
            const dirent* entry = ::readdir(directory);
            if (entry == nullptr)
                return {};
            const std::string name = entry->d_name;
            if (name == "." || name == "..")
                continue;
            if (::unlinkat(fd, name.c_str(), 0) == 0)
                continue;
            if (errno != EISDIR && errno != EPERM) // Linux says EISDIR, POSIX allows EPERM
                return fail(lastError("remove", name));
            PENSTOCK_TRY_VOID(removeDirectory(fd, name, depth));
        }
    }
    [[nodiscard]] bool movedSome() { return std::exchange(m_moved, false); }

private:
    Result<void> removeDirectory(int parent, const std::string& name, int depth)
    {
        if (depth >= kMaxDepth) {
            m_moved = true;
            const std::string top = fmt::format(".penstock-{}", m_serial++);
            if (::renameat(parent, name.c_str(), m_root, top.c_str()) != 0)
                return fail(lastError("move", name));
            return {};
        }
        const Directory below = openBelow(parent, name.c_str());
        if (!below)
            return fail(lastError("open", name));
        PENSTOCK_TRY_VOID(empty(below.get(), depth + 1));
        if (::unlinkat(parent, name.c_str(), AT_REMOVEDIR) != 0)
            return fail(lastError("remove", name));
        return {};
    }

    int m_root;
    bool m_moved = false;
    std::uint64_t m_serial = 0;
};

} // namespace

AttemptFolder folderOf(const std::string& attemptsPath, AttemptId attempt)
{
    const std::string path = fmt::format("{}/{}", attemptsPath, attempt.value());
    return {path, path + ".tmp"};
}

Result<void> makeFolder(const AttemptFolder& folder)
{
    for (const std::string& path : {folder.path, folder.temporary}) {
        if (::mkdir(path.c_str(), 0700) != 0)
            return fail(errno == EEXIST ? ErrorCode::Conflict : ErrorCode::Unavailable,
                        fmt::format("cannot make the directory {}: {}", path, std::strerror(errno)));
    }
    return {};
}

Result<void> removeTree(const std::string& path)
{
    if (::rmdir(path.c_str()) == 0 || errno == ENOENT) // the usual case: empty
        return {};
    if (errno == ENOTDIR)
        return ::unlink(path.c_str()) == 0 ? Result<void>() : fail(lastError("remove", path));
    const Directory root = openBelow(AT_FDCWD, path.c_str());
    if (!root)
        return fail(lastError("open", path));
    TreeRemover remover(::dirfd(root.get()));
    do {
        ::rewinddir(root.get());
        PENSTOCK_TRY_VOID(remover.empty(root.get(), 0));
    } while (remover.movedSome());
    if (::rmdir(path.c_str()) != 0)
        return fail(lastError("remove", path));
    return {};
}

} // namespace penstock::builder
