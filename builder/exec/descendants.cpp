// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/exec/descendants.h"

#include "builder/exec/exec_loop.h"
#include "shared/base/text.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <memory>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace penstock::builder {
namespace {

constexpr std::size_t kMaxProcFileBytes = 256U << 10U; // an environment may be large; the marker may be anywhere in it
constexpr int kKillRounds = 20;

std::string readProcFile(const std::string& path)
{
    const FileHandle file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    std::string text;
    std::array<char, 4096> buffer{};
    while (file.isOpen() && text.size() < kMaxProcFileBytes) {
        const ssize_t got = ::read(file.get(), buffer.data(), buffer.size());
        if (got <= 0)
            break;
        text.append(buffer.data(), static_cast<std::size_t>(got));
    }
    return text;
}

struct CloseDirectory {
    void operator()(DIR* directory) const { ::closedir(directory); }
};

template <class Visit> void forEachNumber(const char* path, Visit visit)
{
    const std::unique_ptr<DIR, CloseDirectory> directory(::opendir(path));
    if (!directory)
        return;
    while (const dirent* entry = ::readdir(directory.get())) {
        if (const auto number = parseUnsigned(entry->d_name))
            visit(static_cast<pid_t>(*number));
    }
}

bool readFacts(pid_t pid, ProcessFacts& to)
{
    return parseProcessStat(readProcFile(fmt::format("/proc/{}/stat", pid)), ::sysconf(_SC_CLK_TCK), to);
}

} // namespace

bool parseProcessStat(std::string_view text, long ticksPerSecond, ProcessFacts& to)
{
    // "pid (name) state ppid pgrp session …": the name may hold anything, so start behind the last bracket.
    const std::size_t bracket = text.rfind(')');
    const auto pid = parseUnsigned(trim(text.substr(0, std::min(text.find('('), text.size()))));
    if (bracket == std::string_view::npos || !pid || ticksPerSecond <= 0)
        return false;
    const auto fields = split(trim(text.substr(bracket + 1)), ' ');
    constexpr std::size_t kStartField = 19; // 22nd in proc(5), counted from the state
    if (fields.size() <= kStartField)
        return false;
    const auto parent = parseUnsigned(fields[1]);
    const auto group = parseUnsigned(fields[2]);
    const auto session = parseUnsigned(fields[3]);
    const auto start = parseUnsigned(fields[kStartField]);
    if (!parent || !group || !session || !start)
        return false;
    to.pid = static_cast<pid_t>(*pid);
    to.parent = static_cast<pid_t>(*parent);
    to.group = static_cast<pid_t>(*group);
    to.session = static_cast<pid_t>(*session);
    to.zombie = fields[0] == "Z" || fields[0] == "X";
    to.startedSinceBoot = Duration{static_cast<std::int64_t>(*start) * (1'000'000 / ticksPerSecond)};
    return true;
}

bool environmentNames(std::string_view environ, std::string_view folder)
{
    for (const std::string_view entry : split(environ, '\0')) {
        for (const std::string_view name : {std::string_view("HOME="), std::string_view("TMPDIR=")}) {
            if (!entry.starts_with(name) || !entry.substr(name.size()).starts_with(folder))
                continue;
            const std::string_view rest = entry.substr(name.size() + folder.size());
            if (rest.empty() || rest.front() == '/' || rest == ".tmp" || rest.starts_with(".tmp/"))
                return true;
        }
    }
    return false;
}

bool carriesFolder(pid_t pid, std::string_view folder)
{
    std::array<char, 4096> link{};
    const ssize_t length = ::readlink(fmt::format("/proc/{}/cwd", pid).c_str(), link.data(), link.size());
    const std::string_view directory(link.data(), length > 0 ? static_cast<std::size_t>(length) : 0);
    if (directory.starts_with(folder)) { // " (deleted)" may follow
        const std::string_view rest = directory.substr(folder.size());
        if (rest.empty() || rest.front() == '/' || rest.front() == ' ')
            return true;
    }
    return environmentNames(readProcFile(fmt::format("/proc/{}/environ", pid)), folder);
}

std::vector<pid_t> adoptedOrphans(const std::set<pid_t>& known)
{
    // The kernel gives an orphan to any live thread of the subreaper, so all of them are asked.
    std::vector<pid_t> orphans;
    const pid_t ownSession = ::getsid(0);
    forEachNumber("/proc/self/task", [&](pid_t thread) {
        const std::string text = readProcFile(fmt::format("/proc/self/task/{}/children", thread));
        for (const std::string_view part : split(text, ' ')) {
            const auto number = parseUnsigned(trim(part));
            const auto pid = number ? static_cast<pid_t>(*number) : 0;
            // Jobs live in sessions of their own; a child in our session is a probe's and not ours to touch.
            if (pid <= 0 || known.contains(pid) || ::getsid(pid) == ownSession)
                continue;
            if (::waitpid(pid, nullptr, WNOHANG) == 0)
                orphans.push_back(pid);
        }
    });
    return orphans;
}

std::size_t killMatching(const ProcessTest& test)
{
    std::set<pid_t> killed;
    for (int round = 0; round < kKillRounds; ++round) {
        bool alive = false;
        forEachNumber("/proc", [&](pid_t pid) {
            ProcessFacts facts;
            if (pid == ::getpid() || !readFacts(pid, facts) || facts.zombie || !test(facts))
                return;
            if (::kill(pid, SIGKILL) == 0) {
                alive = alive || !killed.contains(pid); // one that is dying already needs no further round
                killed.insert(pid);
            }
        });
        if (!alive)
            break;
    }
    return killed.size();
}

void becomeSubreaper()
{
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
}

} // namespace penstock::builder
