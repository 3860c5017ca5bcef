// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/config/files.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

namespace penstock::config {
namespace {

class OpenFile {
public:
    explicit OpenFile(int descriptor) : m_descriptor(descriptor) {}
    ~OpenFile()
    {
        if (m_descriptor >= 0)
            ::close(m_descriptor);
    }
    OpenFile(const OpenFile&) = delete;
    OpenFile& operator=(const OpenFile&) = delete;
    [[nodiscard]] int descriptor() const { return m_descriptor; }

private:
    int m_descriptor;
};

std::string systemText(int error)
{
    std::array<char, 128> buffer{};
    return ::strerror_r(error, buffer.data(), buffer.size()); // the GNU form returns the text
}

tl::unexpected<Error> systemFailure(const std::string& path, std::string_view what, int error)
{
    const ErrorCode code = error == ENOENT || error == ENOTDIR ? ErrorCode::NotFound
                           : error == EACCES || error == EPERM ? ErrorCode::Denied
                                                               : ErrorCode::Unavailable;
    return fail(code, fmt::format("cannot {} {}: {}", what, path, systemText(error)));
}

// O_NONBLOCK so that a named pipe cannot hold up the start; it means nothing for regular files.
int openForReading(const std::string& path)
{
    return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

Result<void> checkOwner(const struct stat& status, const std::string& path, bool isCredential)
{
    if (!S_ISREG(status.st_mode))
        return fail(ErrorCode::Invalid,
                    fmt::format("{} is not a regular file, so it cannot hold a secret", path));
    if (status.st_uid != ::geteuid() && status.st_uid != 0)
        return fail(ErrorCode::Denied,
                    fmt::format("{} belongs to user {}, not to this user ({}) or root; chown it", path,
                                status.st_uid, ::geteuid()));
    const mode_t refused = isCredential && status.st_uid == 0 ? 0037U : 0077U;
    if ((status.st_mode & refused) != 0)
        return fail(ErrorCode::Denied,
                    fmt::format("{} has mode {:04o}, so others can reach this secret; chmod 600 it", path,
                                status.st_mode & 07777U));
    return {};
}

Result<std::string> readAll(int descriptor, const std::string& path, std::size_t limit)
{
    std::string text;
    std::array<char, 16 * 1024> buffer{};
    while (true) {
        const ssize_t count = ::read(descriptor, buffer.data(), buffer.size());
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return systemFailure(path, "read", errno);
        if (count == 0)
            return text;
        text.append(buffer.data(), static_cast<std::size_t>(count));
        if (text.size() > limit)
            return fail(ErrorCode::Exhausted,
                        fmt::format("{} is larger than the limit of {} bytes", path, limit));
    }
}

// Empty when the option does not mean a credential.
std::string credentialPath(const std::string& option, std::string_view directory)
{
    if (directory.empty() || option.empty() || option.find('/') != std::string::npos)
        return {};
    std::string candidate = fmt::format("{}/{}", directory, option);
    return ::access(candidate.c_str(), F_OK) == 0 ? candidate : std::string();
}

} // namespace

Result<std::string> readTextFile(const std::string& path, std::size_t limit)
{
    const OpenFile file(openForReading(path));
    if (file.descriptor() < 0)
        return systemFailure(path, "open", errno);
    return readAll(file.descriptor(), path, limit);
}

Result<std::string> readSecretFile(const std::string& path, std::string_view credentialsDirectory)
{
    const std::string credential = credentialPath(path, credentialsDirectory);
    const std::string& chosen = credential.empty() ? path : credential;
    const OpenFile file(openForReading(chosen));
    if (file.descriptor() < 0)
        return systemFailure(chosen, "open", errno);
    struct stat status {};
    if (::fstat(file.descriptor(), &status) != 0)
        return systemFailure(chosen, "inspect", errno);
    PENSTOCK_TRY_VOID(checkOwner(status, chosen, !credential.empty()));
    PENSTOCK_TRY(std::string secret, readAll(file.descriptor(), chosen, kMaxSecretBytes));
    if (secret.ends_with('\n'))
        secret.pop_back();
    if (secret.ends_with('\r'))
        secret.pop_back();
    if (secret.empty())
        return fail(ErrorCode::Invalid, fmt::format("{} is empty, it should hold a secret", chosen));
    return secret;
}

} // namespace penstock::config
