// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/exec/descendants.h"

#include "shared/base/text.h"

#include <array>
#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <string_view>
#include <sys/wait.h>
#include <unistd.h>

namespace penstock::exec {
namespace {

constexpr std::size_t kMaxProcFile = 256U << 10U; // an environment larger than this is read in part

std::string readProcFile(const std::string& path)
{
    std::string text;
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return text; // the process has ended meanwhile, or is another user's
    std::array<char, 8192> buffer{};
    while (text.size() < kMaxProcFile) {
        const ssize_t got = ::read(descriptor, buffer.data(), buffer.size());
        if (got <= 0)
            break;
        text.append(buffer.data(), static_cast<std::size_t>(got));
    }
    ::close(descriptor);
    return text;
}

// Field 3 of stat: the state letter, behind the name in parentheses.
bool hasEnded(int pid)
{
    const std::string stat = readProcFile(fmt::format("/proc/{}/stat", pid));
    const std::size_t close = stat.rfind(')');
    return close == std::string::npos || close + 2 >= stat.size() || stat[close + 2] == 'Z' || stat[close + 2] == 'X';
}

std::vector<int> childrenOf(int pid)
{
    std::vector<int> children;
    std::error_code error;
    std::filesystem::directory_iterator tasks(fmt::format("/proc/{}/task", pid), error);
    for (; !error && tasks != std::filesystem::directory_iterator(); tasks.increment(error))
        for (const std::string_view word : split(trim(readProcFile(tasks->path().string() + "/children")), ' '))
            if (const auto child = parseUnsigned(word); child)
                children.push_back(static_cast<int>(*child));
    return children;
}

void killTree(int pid, int depth)
{
    constexpr int kMaxDepth = 64; // deeper ones become orphans when these are gone, and are found then
    ::kill(pid, SIGSTOP);         // so that it makes no more children while we look
    if (depth < kMaxDepth)
        for (const int child : childrenOf(pid))
            killTree(child, depth + 1);
    ::kill(pid, SIGKILL);
}

} // namespace

Descendants::Descendants(std::string attemptsFolder) : m_attemptsFolder(std::move(attemptsFolder)) {}

std::optional<AttemptId> Descendants::attemptOf(int pid) const
{
    constexpr std::string_view kMarker = "PENSTOCK_ATTEMPT=";
    const std::string environment = readProcFile(fmt::format("/proc/{}/environ", pid));
    for (const std::string_view entry : split(environment, '\0')) {
        if (!entry.starts_with(kMarker))
            continue;
        if (const auto id = parseUnsigned(entry.substr(kMarker.size())); id)
            return AttemptId{*id};
    }
    std::error_code error;
    const std::string directory = std::filesystem::read_symlink(fmt::format("/proc/{}/cwd", pid), error).string();
    if (error || !directory.starts_with(m_attemptsFolder + "/"))
        return std::nullopt;
    const std::string_view below = std::string_view(directory).substr(m_attemptsFolder.size() + 1);
    const auto id = parseUnsigned(below.substr(0, below.find('/')));
    return id ? std::optional(AttemptId{*id}) : std::nullopt;
}

std::vector<Descendants::Orphan> Descendants::orphans(const std::set<int>& known) const
{
    std::vector<Orphan> found;
    for (const int pid : childrenOf(::getpid()))
        if (!known.contains(pid))
            found.push_back({pid, attemptOf(pid), hasEnded(pid)});
    return found;
}

bool Descendants::endAll(AttemptId attempt, const std::set<int>& known)
{
    bool left = false;
    for (const Orphan& orphan : orphans(known)) {
        if (orphan.attempt)
            m_seen.insert(orphan.pid);
        if (orphan.attempt != attempt || orphan.ended)
            continue;
        killTree(orphan.pid, 0);
        left = true;
    }
    return left;
}

void Descendants::reap(const std::set<int>& known)
{
    std::set<int> aged;
    for (const Orphan& orphan : orphans(known)) {
        if (orphan.attempt)
            m_seen.insert(orphan.pid);
        if (!orphan.ended)
            continue;
        if (m_seen.contains(orphan.pid) || m_aged.contains(orphan.pid)) {
            ::waitpid(orphan.pid, nullptr, WNOHANG);
            m_seen.erase(orphan.pid);
        } else {
            aged.insert(orphan.pid);
        }
    }
    m_aged = std::move(aged);
}

} // namespace penstock::exec
