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
#include <sys/xattr.h>
#include <vector>

namespace penstock::builder {
namespace {

constexpr int kMaxDepth = 32; // open directories at once; deeper ones are moved up to the root of the tree first

constexpr std::size_t kMaxKept = 64;
constexpr mode_t kFolderMode = 0700;

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

// A directory as take() made it: ours, empty, with the same mode and no attributes.
bool isUntouched(const std::string& path)
{
    const Directory directory(::opendir(path.c_str()));
    if (!directory)
        return false;
    const int fd = ::dirfd(directory.get());
    struct stat info = {};
    if (::fstat(fd, &info) != 0 || info.st_uid != ::geteuid() || (info.st_mode & 07777U) != kFolderMode ||
        ::flistxattr(fd, nullptr, 0) > 0)
        return false;
    while (const dirent* entry = ::readdir(directory.get())) {
        const std::string_view name = entry->d_name;
        if (name != "." && name != "..")
            return false;
    }
    return true;
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

Result<AttemptFolder> FolderPool::take()
{
    if (!m_kept.empty()) {
        AttemptFolder folder = std::move(m_kept.back());
        m_kept.pop_back();
        return folder;
    }
    const std::string path = fmt::format("{}/{}", m_attemptsPath, m_next++);
    AttemptFolder folder{path, path + ".tmp"};
    for (const std::string& each : {folder.path, folder.temporary}) {
        if (::mkdir(each.c_str(), kFolderMode) != 0)
            return fail(errno == EEXIST ? ErrorCode::Conflict : ErrorCode::Unavailable,
                        fmt::format("cannot make the directory {}: {}", each, std::strerror(errno)));
    }
    return folder;
}

bool FolderPool::giveBack(const AttemptFolder& folder)
{
    if (m_kept.size() >= kMaxKept || !isUntouched(folder.path) || !isUntouched(folder.temporary))
        return false;
    m_kept.push_back(folder);
    return true;
}

void FolderPool::removeKept()
{
    for (const AttemptFolder& folder : std::exchange(m_kept, {})) {
        ::rmdir(folder.path.c_str()); // checked to be empty when they came back
        ::rmdir(folder.temporary.c_str());
    }
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
