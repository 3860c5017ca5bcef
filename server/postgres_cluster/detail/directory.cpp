// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/postgres_cluster/detail/directory.h"

#include "shared/base/text.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <fmt/core.h>
#include <grp.h>
#include <pwd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>

namespace penstock::postgres_cluster {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSocketName = "/.s.PGSQL.5432";
constexpr std::size_t kMaxSocketPath = 107;

std::optional<Account> accountNamed(const char* name)
{
    passwd entry = {};
    passwd* found = nullptr;
    std::array<char, 16 * 1024> buffer{};
    if (::getpwnam_r(name, &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr)
        return std::nullopt;
    return Account{entry.pw_uid, entry.pw_gid, name};
}

Account accountOf(uid_t uid, gid_t gid)
{
    passwd entry = {};
    passwd* found = nullptr;
    std::array<char, 16 * 1024> buffer{};
    if (::getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr)
        return Account{uid, gid, fmt::format("{}", uid)};
    return Account{uid, gid, entry.pw_name};
}

// PostgreSQL refuses to run as root and to use files of another owner.
Result<std::optional<Account>> chooseAccount(const fs::path& database)
{
    struct stat info = {};
    const bool isThere = ::stat(database.c_str(), &info) == 0;
    const uid_t self = ::geteuid();
    if (self != 0) {
        if (isThere && info.st_uid != self)
            return fail(ErrorCode::Invalid,
                        fmt::format("{} belongs to user {}, but this server runs as {}: start it as that user or as "
                                    "root, or give the files to {} with chown -R",
                                    database.string(), accountOf(info.st_uid, info.st_gid).name,
                                    accountOf(self, 0).name, accountOf(self, 0).name));
        return std::optional<Account>();
    }
    if (isThere && info.st_uid != 0)
        return std::optional(accountOf(info.st_uid, info.st_gid));
    if (isThere)
        return fail(ErrorCode::Invalid, fmt::format("{} belongs to root, as whom PostgreSQL refuses to run: give it "
                                                    "to the user it shall run as, e.g. chown -R postgres: {}",
                                                    database.string(), database.string()));
    for (const char* name : {"postgres", "nobody"})
        if (auto account = accountNamed(name))
            return std::optional(*std::move(account));
    return fail(ErrorCode::NotFound, "PostgreSQL does not run as root, and there is neither a user postgres nor "
                                     "nobody to run it as: add one (adduser --system postgres), or use --db-url");
}

// The first directory on the way that the account may not enter; in a child, as only that can become the account.
std::optional<fs::path> firstClosed(const fs::path& path, const Account& account)
{
    std::vector<std::string> ways;
    for (fs::path at = path; !at.empty() && at != at.root_path(); at = at.parent_path())
        ways.push_back(at.string());
    std::ranges::reverse(ways); // from the root on
    const pid_t child = ::fork();
    if (child == 0) {
        if (::setgroups(0, nullptr) != 0 || ::setgid(account.gid) != 0 || ::setuid(account.uid) != 0)
            ::_exit(255);
        int number = 1;
        for (const std::string& way : ways) {
            if (::access(way.c_str(), X_OK) != 0)
                ::_exit(number);
            ++number;
        }
        ::_exit(0);
    }
    int status = 0;
    if (child < 0 || ::waitpid(child, &status, 0) != child || !WIFEXITED(status))
        return std::nullopt; // initdb then tells
    const auto number = static_cast<std::size_t>(WEXITSTATUS(status));
    if (number == 0 || number > ways.size())
        return std::nullopt;
    return ways[number - 1];
}

// The same one at every start, so that a killed server's leftovers are found. FNV-1a: only to tell directories apart.
fs::path shortSocketDirectory(const ClusterOptions& options)
{
    std::uint64_t hash = 0xCBF29CE484222325U;
    for (const char c : options.directory.string())
        hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3U;
    return options.shortDirectory / fmt::format("penstock-{}-{:016x}", ::geteuid(), hash);
}

std::string holderOf(int file)
{
    std::array<char, 32> text{};
    const ssize_t got = ::pread(file, text.data(), text.size(), 0);
    const auto pid = parseUnsigned(trim(std::string_view(text.data(), got > 0 ? static_cast<std::size_t>(got) : 0)));
    return pid ? fmt::format("process {}", *pid) : "another process";
}

} // namespace

bool isShortEnough(const fs::path& socketDirectory)
{
    return socketDirectory.string().size() + kSocketName.size() <= kMaxSocketPath;
}

Result<std::unique_ptr<DirectoryLock>> lockDirectory(const fs::path& directory)
{
    std::error_code failed;
    const bool isNew = fs::create_directories(directory, failed);
    if (isNew && ::geteuid() == 0) // the database's user must get through, whatever our umask
        ::chmod(directory.c_str(), 0711);
    if (failed)
        return fail(ErrorCode::Invalid, fmt::format("cannot make the directory {}: {}; choose another with --data-dir",
                                                    directory.string(), failed.message()));
    const fs::path path = directory / "lock";
    FileDescriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644));
    if (!file.isOpen())
        return fail(ErrorCode::Invalid,
                    fmt::format("cannot open {}: {}; let this user write there or choose another --data-dir",
                                path.string(), errorText(errno)));
    if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0)
        return fail(ErrorCode::Conflict,
                    fmt::format("{} uses the database directory {} already: stop it, or choose another --data-dir",
                                holderOf(file.get()), directory.string()));
    const std::string pid = fmt::format("{}\n", ::getpid());
    if (::ftruncate(file.get(), 0) != 0 || ::pwrite(file.get(), pid.data(), pid.size(), 0) < 0)
        return fail(ErrorCode::Unavailable, fmt::format("cannot write {}: {}", path.string(), errorText(errno)));
    return std::make_unique<DirectoryLock>(std::move(file));
}

Result<void> makePrivateDirectory(const fs::path& path, const std::optional<Account>& account)
{
    const uid_t owner = account ? account->uid : ::geteuid();
    if (::mkdir(path.c_str(), 0700) == 0) {
        if (account && ::lchown(path.c_str(), account->uid, account->gid) != 0)
            return fail(ErrorCode::Invalid, fmt::format("cannot give {} to user {}: {}", path.string(), account->name,
                                                        errorText(errno)));
        return {};
    }
    const int reason = errno;
    struct stat info = {};
    if (reason != EEXIST || ::lstat(path.c_str(), &info) != 0)
        return fail(ErrorCode::Invalid,
                    fmt::format("cannot make the directory {}: {}", path.string(), errorText(reason)));
    if (!S_ISDIR(info.st_mode) || info.st_uid != owner || (info.st_mode & 0077U) != 0)
        return fail(ErrorCode::Invalid,
                    fmt::format("{} must be a directory of user {} that is closed to others (mode 0700): move it away "
                                "and try again",
                                path.string(), accountOf(owner, 0).name));
    return {};
}

Result<void> writeFile(const fs::path& path, std::string_view text)
{
    const std::string unfinished = path.string() + ".new";
    FileDescriptor file(::open(unfinished.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644));
    if (!file.isOpen() || ::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
        ::fchmod(file.get(), 0644) != 0 || ::rename(unfinished.c_str(), path.c_str()) != 0)
        return fail(ErrorCode::Unavailable, fmt::format("cannot write {}: {}", path.string(), errorText(errno)));
    return {};
}

Result<Layout> prepareLayout(const ClusterOptions& options)
{
    Layout layout{options.directory, options.directory / "data", options.directory / "data.new",
                  options.directory / "socket", std::nullopt};
    PENSTOCK_TRY(layout.account, chooseAccount(layout.database));
    if (layout.account)
        if (const auto closed = firstClosed(options.directory, *layout.account))
            return fail(ErrorCode::Invalid,
                        fmt::format("PostgreSQL runs as user {} here, and may not enter {}: open it (chmod o+x {}) or "
                                    "choose another --data-dir",
                                    layout.account->name, closed->string(), closed->string()));
    if (!isShortEnough(layout.socketDirectory))
        layout.socketDirectory = shortSocketDirectory(options);
    if (!isShortEnough(layout.socketDirectory))
        return fail(ErrorCode::Invalid,
                    fmt::format("the socket directory {} is too long ({} bytes; with the socket's name at most {}): "
                                "choose a shorter directory",
                                layout.socketDirectory.string(), layout.socketDirectory.string().size(),
                                kMaxSocketPath));
    PENSTOCK_TRY_VOID(makePrivateDirectory(layout.socketDirectory, layout.account));
    return layout;
}

} // namespace penstock::postgres_cluster
