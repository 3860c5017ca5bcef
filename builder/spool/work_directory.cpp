// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/spool/work_directory.h"

#include "shared/base/text.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/random.h>

namespace penstock::builder {
namespace {

constexpr std::size_t kIdentityDigits = 32;

Result<void> makeDirectory(const std::string& path)
{
    std::error_code error;
    std::filesystem::create_directories(path, error);
    if (error)
        return fail(ErrorCode::Unavailable, fmt::format("cannot make the directory {}: {}", path, error.message()));
    return {};
}

Result<FileHandle> takeLock(const std::string& path)
{
    FileHandle file(::open((path + "/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file.isOpen())
        return fail(ErrorCode::Denied, fmt::format("cannot open {}/lock: {}; choose another --work-dir or mend its "
                                                   "permissions",
                                                   path, std::strerror(errno)));
    if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0)
        return fail(ErrorCode::Conflict, fmt::format("another builder uses the work directory {}; stop it, or give "
                                                     "this one its own with --work-dir",
                                                     path));
    return file;
}

Result<std::string> loadIdentity(const std::string& path)
{
    const std::string name = path + "/identity";
    const FileHandle file(::open(name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!file.isOpen()) {
        if (errno != ENOENT)
            return fail(ErrorCode::Denied, fmt::format("cannot read {}: {}", name, std::strerror(errno)));
        PENSTOCK_TRY(std::string identity, randomHexId());
        PENSTOCK_TRY_VOID(writeFileAtomically(name, identity + "\n"));
        return identity;
    }
    std::array<char, 64> buffer{};
    const ssize_t got = ::read(file.get(), buffer.data(), buffer.size());
    const std::string identity(trim({buffer.data(), got > 0 ? static_cast<std::size_t>(got) : 0}));
    const auto isHex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
    if (identity.size() != kIdentityDigits || !std::ranges::all_of(identity, isHex))
        return fail(ErrorCode::Corrupt, fmt::format("{} must hold {} lower-case hex digits; remove the file to get a "
                                                    "new identity (the server then sees a new machine)",
                                                    name, kIdentityDigits));
    return identity;
}

} // namespace

Result<std::string> randomHexId()
{
    std::array<unsigned char, kIdentityDigits / 2> bytes{};
    if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
        return fail(ErrorCode::Internal, fmt::format("no random numbers: {}", std::strerror(errno)));
    std::string text;
    for (const unsigned char byte : bytes)
        text += fmt::format("{:02x}", byte);
    return text;
}

Result<void> writeFileAtomically(const std::string& path, const std::string& text)
{
    const std::string beside = path + ".new";
    const FileHandle file(::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
    const bool written = file.isOpen() &&
                         ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
                         ::fsync(file.get()) == 0;
    if (!written || ::rename(beside.c_str(), path.c_str()) != 0)
        return fail(ErrorCode::Unavailable, fmt::format("cannot write {}: {}", path, std::strerror(errno)));
    return {};
}

WorkDirectory::WorkDirectory(std::string path, std::string identity, FileHandle lock)
    : m_path(std::move(path)), m_identity(std::move(identity)), m_lock(std::move(lock))
{
}

Result<WorkDirectory> WorkDirectory::open(const std::string& path)
{
    std::error_code error;
    PENSTOCK_TRY_VOID(makeDirectory(path));
    // Without links, so that it can be compared with what the kernel says about a process's directory.
    const std::string absolute = std::filesystem::canonical(path, error).string();
    if (error)
        return fail(ErrorCode::Unavailable, fmt::format("cannot use the directory {}: {}", path, error.message()));
    PENSTOCK_TRY(FileHandle lock, takeLock(absolute));
    PENSTOCK_TRY_VOID(makeDirectory(absolute + "/attempts"));
    PENSTOCK_TRY_VOID(makeDirectory(absolute + "/logs"));
    PENSTOCK_TRY(std::string identity, loadIdentity(absolute));
    return WorkDirectory(absolute, std::move(identity), std::move(lock));
}

} // namespace penstock::builder
