// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/postgres_cluster/detail/postmaster.h"

#include "server/postgres_cluster/detail/child_process.h"
#include "shared/base/text.h"

#include <algorithm>
#include <csignal>
#include <fmt/core.h>
#include <fstream>
#include <poll.h>

namespace penstock::postgres_cluster {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxFileRead = 4096;

// Without following anything: where a process works, or empty.
fs::path linkOf(pid_t pid, const char* name)
{
    std::error_code failed;
    fs::path target = fs::read_symlink(fmt::format("/proc/{}/{}", pid, name), failed);
    return failed ? fs::path() : target;
}

bool isServerOf(pid_t pid, const fs::path& database)
{
    // A program that was upgraded meanwhile reads "/usr/lib/postgresql/15/bin/postgres (deleted)".
    return linkOf(pid, "cwd") == database && linkOf(pid, "exe").filename().string().starts_with("postgres");
}

// True when all ended in time.
bool waitForEnd(const std::vector<pid_t>& servers, std::chrono::steady_clock::time_point deadline)
{
    for (const pid_t pid : servers) {
        const FileDescriptor watched = watchProcess(pid);
        if (!watched.isOpen())
            continue; // ended
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
            deadline - std::chrono::steady_clock::now());
        pollfd ended{watched.get(), POLLIN, 0};
        if (::poll(&ended, 1, static_cast<int>(std::max<std::int64_t>(left.count(), 0))) <= 0)
            return false;
    }
    return true;
}

void removeStaleLocks(const fs::path& database, const fs::path& socketDirectory)
{
    std::error_code ignored; // what cannot be removed the postmaster will complain about by name
    fs::remove(database / "postmaster.pid", ignored);
    fs::remove(socketDirectory / ".s.PGSQL.5432", ignored);
    fs::remove(socketDirectory / ".s.PGSQL.5432.lock", ignored);
}

} // namespace

std::optional<PostmasterFile> parsePostmasterFile(std::string_view text)
{
    const std::vector<std::string_view> lines = split(text, '\n');
    if (lines.empty())
        return std::nullopt;
    const auto pid = parseUnsigned(trim(lines[0]));
    if (!pid || *pid == 0 || *pid > 0x7FFF'FFFFU)
        return std::nullopt;
    constexpr std::size_t kStatusLine = 7; // LOCK_FILE_LINE_PM_STATUS of miscadmin.h, counted from 0
    const bool isReady = lines.size() > kStatusLine && trim(lines[kStatusLine]) == "ready";
    return PostmasterFile{static_cast<pid_t>(*pid), isReady};
}

std::optional<PostmasterFile> readPostmasterFile(const fs::path& database)
{
    std::ifstream file(database / "postmaster.pid");
    std::string text(kMaxFileRead, '\0');
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(file.gcount()));
    return parsePostmasterFile(text);
}

std::vector<pid_t> findServers(const fs::path& database)
{
    std::vector<pid_t> servers;
    std::error_code ignored; // processes come and go while we look
    for (fs::directory_iterator at("/proc", ignored), end; at != end; at.increment(ignored)) {
        const auto pid = parseUnsigned(at->path().filename().string());
        if (pid && *pid <= 0x7FFF'FFFFU && isServerOf(static_cast<pid_t>(*pid), database))
            servers.push_back(static_cast<pid_t>(*pid));
    }
    return servers;
}

Result<void> endLeftovers(const fs::path& database, const fs::path& socketDirectory, std::chrono::seconds limit)
{
    std::error_code failed;
    const fs::path real = fs::canonical(database, failed);
    if (failed)
        return {}; // not there: nobody works in it
    // One that is told by the death of its penstock-server stops by itself; a lost postmaster's children end too.
    const std::optional<PostmasterFile> file = readPostmasterFile(real);
    struct Try {
        int signal;
        std::chrono::seconds wait;
    };
    for (const Try& attempt : {Try{SIGINT, limit}, Try{SIGQUIT, std::chrono::seconds(5)},
                               Try{SIGKILL, std::chrono::seconds(5)}}) {
        const std::vector<pid_t> servers = findServers(real);
        if (servers.empty())
            break;
        const bool isLed = file && std::ranges::find(servers, file->pid) != servers.end();
        if (isLed && attempt.signal != SIGKILL)
            ::kill(file->pid, attempt.signal);
        else // children without a postmaster have nothing left to save
            for (const pid_t pid : servers)
                ::kill(pid, attempt.signal == SIGINT ? SIGQUIT : attempt.signal);
        const auto wait = isLed ? attempt.wait : std::min(attempt.wait, std::chrono::seconds(5));
        if (waitForEnd(servers, std::chrono::steady_clock::now() + wait))
            break;
    }
    const std::vector<pid_t> left = findServers(real);
    if (!left.empty())
        return fail(ErrorCode::Unavailable,
                    fmt::format("process {} still works in {} and cannot be stopped; end it and try again",
                                left.front(), real.string()));
    removeStaleLocks(real, socketDirectory);
    return {};
}

} // namespace penstock::postgres_cluster
