// SPDX-License-Identifier: GPL-3.0-or-later
// Roots that outlive a DaemonConnection.
#include "shared/nixdaemon/daemon_connection.h"

#include <cerrno>
#include <cstdio>
#include <system_error>
#include <utility>

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

namespace penstock::nixdaemon {
namespace {

constexpr unsigned kAddPermRoot = 36; // first protocol minor
constexpr std::size_t kMaxLink = 4095;

Result<void> checkLink(const nix::StoreDir& dir, const std::string& link)
{
    if (!link.starts_with('/') || link.ends_with('/') || link.size() > kMaxLink ||
        link.find('\0') != std::string::npos)
        return fail(ErrorCode::Invalid, fmt::format("the root \"{}\" is no absolute path of at most {} bytes",
                                                    link.substr(0, 200), kMaxLink));
    if (link.starts_with(dir.text() + "/"))
        return fail(
            ErrorCode::Invalid,
            fmt::format("the root {} is inside of the store {}; choose a place outside", link, dir.text()));
    return {};
}

tl::unexpected<Error> cannot(std::string_view what, const std::string& link)
{
    return fail(ErrorCode::Denied,
                fmt::format("cannot {} {}: {}", what, link, std::generic_category().message(errno)));
}

// Put in place in one step, so that a root which is replaced is never gone.
Result<void> placeLink(const std::string& target, const std::string& link)
{
    struct stat found {};
    if (::lstat(link.c_str(), &found) == 0 && !S_ISLNK(found.st_mode))
        return fail(ErrorCode::Conflict,
                    fmt::format("{} is there and no symbolic link; remove it first", link));
    const std::string fresh = fmt::format("{}.new-{}", link, ::getpid());
    static_cast<void>(::unlink(fresh.c_str())); // left by a process of this number that died
    if (::symlink(target.c_str(), fresh.c_str()) != 0)
        return cannot("make the symbolic link", fresh);
    if (::rename(fresh.c_str(), link.c_str()) != 0) {
        auto error = cannot("put in place the symbolic link", link);
        static_cast<void>(::unlink(fresh.c_str()));
        return error;
    }
    return {};
}

} // namespace

Result<void> DaemonConnection::addIndirectRoot(const std::string& link)
{
    PENSTOCK_TRY_VOID(checkLink(m_dir, link));
    WireWriter request = beginRequest(Operation::AddIndirectRoot);
    request.string(link);
    DaemonEvents events;
    return callForOne(request, events);
}

Result<void> DaemonConnection::addPermRoot(const nix::StorePath& path, const std::string& link)
{
    PENSTOCK_TRY_VOID(checkLink(m_dir, link));
    if (m_greeting.minor < kAddPermRoot || m_greeting.trust != Trust::Trusted) {
        // Held until the root is known, in case that a collection runs now.
        PENSTOCK_TRY_VOID(addTempRoot(path));
        PENSTOCK_TRY_VOID(placeLink(path.print(m_dir), link));
        return addIndirectRoot(link);
    }
    WireWriter request = beginRequest(Operation::AddPermRoot);
    request.path(m_dir, path);
    request.string(link);
    DaemonEvents events;
    return call(request, events, [](WireReader& reader) -> Result<void> {
        PENSTOCK_TRY_VOID(reader.string());
        return {};
    });
}

} // namespace penstock::nixdaemon
