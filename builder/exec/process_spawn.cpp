// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/exec/process_spawn.h"

#include "shared/base/text.h"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace penstock::exec {
namespace {

struct Prepared {
    const char* program;
    char* const* arguments;
    char* const* environment;
    const char* directory;
    int nullInput;
    int standardOutput;
    int standardError;
    pid_t parent;
};

// Runs in the child, on borrowed memory: only system calls, no allocation. Gives errno when it could not execute.
int becomeProgram(const Prepared& p)
{
    ::setsid();
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != p.parent)
        return ESRCH; // the builder died before the line above
    struct sigaction standard {};
    standard.sa_handler = SIG_DFL; // ignored signals would stay ignored in the program
    for (int number = 1; number < NSIG; ++number)
        ::sigaction(number, &standard, nullptr);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    if (::chdir(p.directory) != 0 || ::dup2(p.nullInput, 0) < 0 || ::dup2(p.standardOutput, 1) < 0 ||
        ::dup2(p.standardError, 2) < 0)
        return errno;
    ::syscall(SYS_close_range, 3U, ~0U, 0U);
    ::umask(022);
    ::execve(p.program, p.arguments, p.environment);
    return errno;
}

std::vector<char*> pointers(const std::vector<std::string>& texts)
{
    std::vector<char*> result;
    result.reserve(texts.size() + 1);
    for (const std::string& text : texts)
        result.push_back(const_cast<char*>(text.c_str())); // NOLINT(cppcoreguidelines-pro-type-const-cast): execve's C signature
    result.push_back(nullptr);
    return result;
}

ErrorCode codeFor(int number)
{
    if (number == ENOENT || number == ENOTDIR)
        return ErrorCode::NotFound;
    if (number == EAGAIN || number == ENOMEM || number == EMFILE || number == ENFILE || number == ESRCH)
        return ErrorCode::Unavailable;
    return ErrorCode::Denied;
}

} // namespace

// vfork's contract: the child calls only becomeProgram and _exit, and this frame stays until it has.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wclobbered"
Result<Spawned> spawn(const SpawnSpec& spec)
{
    const std::vector<char*> arguments = pointers(spec.arguments);
    const std::vector<char*> environment = pointers(spec.environment);
    static const int nullInput = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    const Prepared prepared{spec.program.c_str(), arguments.data(),    environment.data(),  spec.directory.c_str(),
                            nullInput,            spec.standardOutput, spec.standardError, ::getpid()};
    volatile int failure = 0; // written by the child in our memory
    // Our own handlers must not run in the child while it borrows our memory.
    sigset_t all;
    sigset_t before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_BLOCK, &all, &before);
    const pid_t pid = ::vfork(); // NOLINT(clang-analyzer-security.insecureAPI.vfork): its cost is what spawn rate hangs on
    if (pid == 0) {
        failure = becomeProgram(prepared);
        ::_exit(127);
    }
    const int forkError = errno;
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (pid < 0)
        return fail(ErrorCode::Unavailable, fmt::format("starting a process: {}", std::strerror(forkError)));
    if (failure != 0) {
        const int number = failure;
        ::waitpid(pid, nullptr, 0);
        return fail(codeFor(number), fmt::format("{}: {}", spec.program, std::strerror(number)));
    }
    const int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
    if (pidfd < 0) {
        const int number = errno;
        ::kill(-pid, SIGKILL);
        ::waitpid(pid, nullptr, 0);
        return fail(ErrorCode::Unavailable, fmt::format("watching a process: {}", std::strerror(number)));
    }
    return Spawned{pid, pidfd};
}
#pragma GCC diagnostic pop

Result<std::string> findProgram(const std::string& name, std::string_view path, const std::string& directory)
{
    if (name.find('/') != std::string::npos)
        return name.front() == '/' ? name : directory + "/" + name;
    bool denied = false;
    for (const std::string_view folder : split(path, ':')) {
        std::string candidate = fmt::format("{}/{}", folder.empty() ? std::string_view(directory) : folder, name);
        struct stat info {};
        if (::stat(candidate.c_str(), &info) != 0 || !S_ISREG(info.st_mode))
            continue;
        if (::access(candidate.c_str(), X_OK) == 0)
            return candidate;
        denied = true;
    }
    if (denied)
        return fail(ErrorCode::Denied, fmt::format("{}: Permission denied", name));
    return fail(ErrorCode::NotFound, fmt::format("{}: command not found in PATH {}", name, path));
}

} // namespace penstock::exec
