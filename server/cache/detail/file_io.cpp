// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/cache/detail/file_io.h"

#include <cerrno>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace penstock::cache::detail {

Descriptor::~Descriptor()
{
    if (m_number >= 0)
        ::close(m_number);
}

Descriptor::Descriptor(Descriptor&& other) noexcept : m_number(std::exchange(other.m_number, -1)) {}

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept
{
    std::swap(m_number, other.m_number);
    return *this;
}

Error systemError(int number, std::string_view doing)
{
    const std::string text = std::generic_category().message(number);
    switch (number) {
    case ENOSPC:
    case EDQUOT:
        return {ErrorCode::Exhausted,
                fmt::format("{}: {}; free space there or choose another place", doing, text)};
    case EFBIG:
        return {ErrorCode::Exhausted, fmt::format("{}: {}; raise the limit of file sizes", doing, text)};
    case EACCES:
    case EPERM:
        return {ErrorCode::Denied, fmt::format("{}: {}; let the server's user write there", doing, text)};
    case EROFS:
        return {ErrorCode::Denied,
                fmt::format("{}: {}; mount it writable or choose another place", doing, text)};
    case ENOENT: return {ErrorCode::NotFound, fmt::format("{}: {}", doing, text)};
    case EEXIST: return {ErrorCode::Conflict, fmt::format("{}: {}", doing, text)};
    case ENAMETOOLONG: return {ErrorCode::Invalid, fmt::format("{}: {}", doing, text)};
    case EXDEV:
        return {ErrorCode::Invalid,
                fmt::format("{}: {}; everything below a cache's directory has to be one file system", doing,
                            text)};
    default: return {ErrorCode::Unavailable, fmt::format("{}: {}", doing, text)};
    }
}

Result<Descriptor> openAt(int base, const std::string& name, int flags, const std::string& path)
{
    for (;;) {
        const int opened = ::openat(base, name.c_str(), flags | O_CLOEXEC, 0644);
        if (opened >= 0)
            return Descriptor(opened);
        if (errno != EINTR)
            return fail(systemError(errno, "opening " + path));
    }
}

Result<void> writeAll(int descriptor, std::string_view bytes, const std::string& path)
{
    for (std::string_view rest = bytes; !rest.empty();) {
        const ssize_t wrote = ::write(descriptor, rest.data(), rest.size());
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0) {
            const int number = errno;
            const off_t at = ::lseek(descriptor, 0, SEEK_CUR);
            return fail(
                systemError(number, fmt::format("writing {} bytes after {} to {}", rest.size(), at, path)));
        }
        rest.remove_prefix(static_cast<std::size_t>(wrote));
    }
    return {};
}

Result<void> syncFile(int descriptor, const std::string& path)
{
    while (::fsync(descriptor) != 0)
        if (errno != EINTR)
            return fail(systemError(errno, "making durable " + path));
    return {};
}

Result<std::string> readSmall(int base, const std::string& name, std::size_t maxBytes,
                              const std::string& path)
{
    PENSTOCK_TRY(const Descriptor file, openAt(base, name, O_RDONLY, path));
    std::string text;
    for (;;) {
        constexpr std::size_t kPiece = 16U << 10U;
        const std::size_t filled = text.size();
        text.resize(filled + kPiece);
        const ssize_t got = ::read(file.get(), text.data() + filled, kPiece);
        text.resize(filled + (got > 0 ? static_cast<std::size_t>(got) : 0));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail(systemError(errno, "reading " + path));
        if (got == 0)
            return text;
        if (text.size() > maxBytes)
            return fail(ErrorCode::Exhausted, fmt::format("{} is larger than {} bytes", path, maxBytes));
    }
}

Result<void> makeDirectories(const std::string& path)
{
    if (path.empty() || path == "/" || path == ".")
        return {};
    struct stat info {};
    if (::stat(path.c_str(), &info) == 0)
        return S_ISDIR(info.st_mode) ? Result<void>()
                                     : fail(ErrorCode::Invalid, path + " is there, and is no directory");
    const std::size_t slash = path.rfind('/');
    const std::string above = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
    PENSTOCK_TRY_VOID(makeDirectories(above));
    if (::mkdir(path.c_str(), 0755) != 0 && errno != EEXIST)
        return fail(systemError(errno, "making the directory " + path));
    PENSTOCK_TRY(const Descriptor parent, openAt(AT_FDCWD, above, O_RDONLY | O_DIRECTORY, above));
    return syncFile(parent.get(), above);
}

} // namespace penstock::cache::detail
