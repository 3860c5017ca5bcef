// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/postgres_cluster/detail/child_process.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <fmt/core.h>
#include <grp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <system_error>

namespace penstock::postgres_cluster {
namespace {

constexpr std::size_t kMaxOutputKept = 16 * 1024;

struct Pipe {
    FileDescriptor readEnd;
    FileDescriptor writeEnd;
};

Result<Pipe> makePipe()
{
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0)
        return fail(ErrorCode::Internal, fmt::format("cannot make a pipe: {}", errorText(errno)));
    return Pipe{FileDescriptor(ends[0]), FileDescriptor(ends[1])};
}

// What the child needs, made before fork(): after it only async-signal-safe calls are allowed.
struct Prepared {
    std::vector<char*> argv;
    std::vector<char*> environment;
    const char* workingDirectory;
    const Account* account;
    int deathSignal;
    int output;
    int failure;
    pid_t parent;
};

[[noreturn]] void giveUp(int failure)
{
    const int code = errno;
    [[maybe_unused]] const auto written = ::write(failure, &code, sizeof code);
    ::_exit(127);
}

[[noreturn]] void becomeProgram(const Prepared& prepared)
{
    ::setsid(); // a Ctrl-C for us is not one for the database
    struct sigaction normal = {};
    normal.sa_handler = SIG_DFL;
    for (const int signal : {SIGPIPE, SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGCHLD, SIGUSR1, SIGUSR2})
        ::sigaction(signal, &normal, nullptr);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::umask(077);

    const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null < 0 || ::dup2(null, 0) < 0 || ::dup2(prepared.output, 1) < 0 || ::dup2(prepared.output, 2) < 0)
        giveUp(prepared.failure);
    if (const Account* account = prepared.account; account != nullptr)
        if (::setgroups(0, nullptr) != 0 || ::setgid(account->gid) != 0 || ::setuid(account->uid) != 0)
            giveUp(prepared.failure);
    // After setuid, which clears it.
    if (prepared.deathSignal != 0 && ::prctl(PR_SET_PDEATHSIG, prepared.deathSignal) != 0)
        giveUp(prepared.failure);
    if (prepared.deathSignal != 0 && ::getppid() != prepared.parent)
        ::_exit(127); // our server is gone already
    if (::chdir(prepared.workingDirectory) != 0)
        giveUp(prepared.failure);
    ::execve(prepared.argv[0], prepared.argv.data(), prepared.environment.data());
    giveUp(prepared.failure);
}

std::vector<char*> pointers(std::vector<std::string>& strings)
{
    std::vector<char*> all;
    for (std::string& text : strings)
        all.push_back(text.data());
    all.push_back(nullptr);
    return all;
}

// Reads what is there; false at the end of the stream.
bool drain(int fd, std::string& output)
{
    std::array<char, 4096> buffer{};
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got > 0) {
        output.append(buffer.data(), static_cast<std::size_t>(got));
        if (output.size() > kMaxOutputKept)
            output.erase(0, output.size() - kMaxOutputKept);
    }
    return got > 0 || (got < 0 && errno == EINTR);
}

} // namespace

std::string errorText(int code)
{
    return std::generic_category().message(code);
}

std::string describeStatus(int status)
{
    if (WIFSIGNALED(status))
        return fmt::format("signal {} ({})", WTERMSIG(status), ::strsignal(WTERMSIG(status)));
    return fmt::format("exit code {}", WEXITSTATUS(status));
}

FileDescriptor watchProcess(pid_t pid)
{
    return FileDescriptor(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
}

Result<Child> spawn(const Program& program)
{
    std::vector<std::string> arguments = program.argv;
    std::vector<std::string> environment{"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"};
    PENSTOCK_TRY(Pipe output, makePipe());
    PENSTOCK_TRY(Pipe failure, makePipe());
    const Prepared prepared{pointers(arguments),
                            pointers(environment),
                            program.workingDirectory.c_str(),
                            program.account ? &*program.account : nullptr,
                            program.deathSignal,
                            output.writeEnd.get(),
                            failure.writeEnd.get(),
                            ::getpid()};
    const pid_t pid = ::fork();
    if (pid < 0)
        return fail(ErrorCode::Internal, fmt::format("cannot start a process: {}", errorText(errno)));
    if (pid == 0)
        becomeProgram(prepared);
    failure.writeEnd.reset();
    int code = 0;
    ssize_t got = 0;
    do // ends at exec, which closes the other end
        got = ::read(failure.readEnd.get(), &code, sizeof code);
    while (got < 0 && errno == EINTR);
    if (got == static_cast<ssize_t>(sizeof code)) {
        ::waitpid(pid, nullptr, 0);
        return fail(ErrorCode::Unavailable,
                    fmt::format("cannot run {}{}: {}", program.argv.front(),
                                program.account ? " as user " + program.account->name : "", errorText(code)));
    }
    FileDescriptor pidDescriptor = watchProcess(pid);
    if (!pidDescriptor.isOpen()) {
        const int reason = errno;
        ::kill(pid, SIGKILL);
        ::waitpid(pid, nullptr, 0);
        return fail(ErrorCode::Internal, fmt::format("cannot watch process {}: {}", pid, errorText(reason)));
    }
    return Child{pid, std::move(pidDescriptor), std::move(output.readEnd)};
}

Result<Outcome> runToEnd(const Program& program, std::chrono::seconds limit)
{
    PENSTOCK_TRY(Child child, spawn(program));
    const auto deadline = std::chrono::steady_clock::now() + limit;
    Outcome outcome{0, {}};
    bool isOpen = true;
    while (isOpen) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
            deadline - std::chrono::steady_clock::now());
        if (left.count() <= 0) {
            ::kill(-child.pid, SIGKILL); // it leads its session's group
            ::waitpid(child.pid, nullptr, 0);
            return fail(ErrorCode::Timeout, fmt::format("{} did not end within {} s: {}", program.argv.front(),
                                                        limit.count(), outcome.output));
        }
        pollfd waited{child.output.get(), POLLIN, 0};
        if (::poll(&waited, 1, static_cast<int>(left.count())) > 0)
            isOpen = drain(child.output.get(), outcome.output);
    }
    ::waitpid(child.pid, &outcome.status, 0);
    return outcome;
}

} // namespace penstock::postgres_cluster
