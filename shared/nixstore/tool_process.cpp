// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nixstore/tool_process.h"

#include "shared/base/text.h"
#include "shared/nixdaemon/daemon_messages.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <ctime>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace penstock::nixstore {
namespace {

using nixdaemon::FileDescriptor;

constexpr std::size_t kErrorText = 16U << 10U;
constexpr int kInputDescriptor = 3;

std::string describe(int error)
{
    return std::generic_category().message(error);
}

struct Pipe {
    FileDescriptor readEnd;
    FileDescriptor writeEnd;
};

Result<Pipe> makePipe()
{
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0)
        return fail(ErrorCode::Unavailable, fmt::format("cannot make a pipe: {}", describe(errno)));
    return Pipe{FileDescriptor(ends[0]), FileDescriptor(ends[1])};
}

Result<void> setNonBlocking(const FileDescriptor& descriptor)
{
    if (::fcntl(descriptor.number(), F_SETFL, O_NONBLOCK) != 0)
        return fail(ErrorCode::Internal, fmt::format("fcntl: {}", describe(errno)));
    return {};
}

std::vector<char*> pointersTo(std::vector<std::string>& texts)
{
    std::vector<char*> pointers;
    for (std::string& text : texts)
        pointers.push_back(text.data());
    pointers.push_back(nullptr);
    return pointers;
}

// What the child gets as its descriptors; input may be closed.
struct ChildEnds {
    const FileDescriptor& input;
    const FileDescriptor& output;
    const FileDescriptor& errors;
};

Result<int> spawn(const ToolCommand& command, const ChildEnds& ends)
{
    std::vector<std::string> argv = command.argv;
    std::vector<std::string> environment;
    for (const auto& [key, value] : command.environment)
        environment.push_back(fmt::format("{}={}", key, value));
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_adddup2(&actions, ends.output.number(), STDOUT_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions, ends.errors.number(), STDERR_FILENO);
    if (ends.input.isOpen())
        ::posix_spawn_file_actions_adddup2(&actions, ends.input.number(), kInputDescriptor);
    posix_spawnattr_t attributes;
    ::posix_spawnattr_init(&attributes);
    sigset_t none;
    sigset_t defaults;
    ::sigemptyset(&none);
    ::sigemptyset(&defaults);
    ::sigaddset(&defaults, SIGPIPE);
    ::posix_spawnattr_setsigmask(&attributes, &none);
    ::posix_spawnattr_setsigdefault(&attributes, &defaults);
    ::posix_spawnattr_setpgroup(&attributes, 0);
    ::posix_spawnattr_setflags(
        &attributes,
        static_cast<short>(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP));
    pid_t pid = -1;
    const int error = ::posix_spawnp(&pid, argv.front().c_str(), &actions, &attributes,
                                     pointersTo(argv).data(), pointersTo(environment).data());
    ::posix_spawnattr_destroy(&attributes);
    ::posix_spawn_file_actions_destroy(&actions);
    if (error != 0)
        return fail(ErrorCode::Unavailable, fmt::format("cannot run {}: {}; is Nix installed and in PATH?",
                                                        command.argv.front(), describe(error)));
    return pid;
}

// write(2) to a pipe whose reader is gone without the signal reaching anybody.
ssize_t writeQuietly(int descriptor, std::string_view bytes)
{
    sigset_t broken;
    sigset_t before;
    ::sigemptyset(&broken);
    ::sigaddset(&broken, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &broken, &before);
    const ssize_t size = ::write(descriptor, bytes.data(), bytes.size());
    const int error = errno;
    if (size < 0 && error == EPIPE && ::sigismember(&before, SIGPIPE) == 0) {
        constexpr timespec kNow{0, 0};
        ::sigtimedwait(&broken, nullptr, &kNow);
    }
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    errno = error;
    return size;
}

} // namespace

Result<ToolProcess> ToolProcess::start(const ToolCommand& command, nixdaemon::Interrupt interrupt)
{
    if (interrupt.isRaised())
        return fail(ErrorCode::Cancelled, "cancelled");
    PENSTOCK_TRY(Pipe output, makePipe());
    PENSTOCK_TRY(Pipe errors, makePipe());
    Pipe input;
    if (command.hasInput) {
        PENSTOCK_TRY(input, makePipe());
        PENSTOCK_TRY_VOID(setNonBlocking(input.writeEnd));
        // posix_spawn clears close-on-exec only of a descriptor that it moves.
        if (input.readEnd.number() == kInputDescriptor)
            input.readEnd = FileDescriptor(::fcntl(kInputDescriptor, F_DUPFD_CLOEXEC, kInputDescriptor + 1));
    }
    PENSTOCK_TRY_VOID(setNonBlocking(output.readEnd));
    PENSTOCK_TRY_VOID(setNonBlocking(errors.readEnd));
    ToolProcess process(command.argv.front(), std::move(interrupt));
    PENSTOCK_TRY(process.m_pid, spawn(command, {input.readEnd, output.writeEnd, errors.writeEnd}));
    process.m_process = FileDescriptor(static_cast<int>(::syscall(SYS_pidfd_open, process.m_pid, 0)));
    if (!process.m_process.isOpen())
        return fail(ErrorCode::Internal, fmt::format("pidfd_open: {}", describe(errno)));
    process.m_output = std::move(output.readEnd);
    process.m_errors = std::move(errors.readEnd);
    process.m_input = std::move(input.writeEnd);
    return process;
}

ToolProcess::ToolProcess(ToolProcess&& other) noexcept
    : m_name(std::move(other.m_name)),
      m_interrupt(std::move(other.m_interrupt)),
      m_output(std::move(other.m_output)),
      m_errors(std::move(other.m_errors)),
      m_input(std::move(other.m_input)),
      m_process(std::move(other.m_process)),
      m_errorText(std::move(other.m_errorText)),
      m_pid(std::exchange(other.m_pid, -1))
{}

ToolProcess::~ToolProcess()
{
    if (m_pid < 0)
        return;
    ::kill(-m_pid, SIGKILL);
    while (::waitpid(m_pid, nullptr, 0) < 0 && errno == EINTR) {
    }
}

// False at its end.
bool ToolProcess::takeErrors()
{
    std::array<char, 4096> part{};
    const ssize_t size = ::read(m_errors.number(), part.data(), part.size());
    if (size > 0)
        m_errorText.append(part.data(), static_cast<std::size_t>(size));
    if (m_errorText.size() > 2 * kErrorText)
        m_errorText.erase(0, m_errorText.size() - kErrorText);
    return size > 0 || (size < 0 && (errno == EAGAIN || errno == EINTR));
}

Result<void> ToolProcess::waitFor(int descriptor, short events)
{
    for (;;) {
        std::array<pollfd, 3> waits{
            {{descriptor, events, 0}, {m_interrupt.pollable(), POLLIN, 0}, {m_errors.number(), POLLIN, 0}}};
        if (::poll(waits.data(), waits.size(), -1) < 0 && errno != EINTR)
            return fail(ErrorCode::Internal, fmt::format("poll: {}", describe(errno)));
        if (waits[1].revents != 0)
            return fail(ErrorCode::Cancelled, "cancelled");
        if (waits[2].revents != 0 && !takeErrors())
            m_errors = FileDescriptor();
        if (waits[0].revents != 0)
            return {};
    }
}

Result<std::size_t> ToolProcess::read(std::span<char> into)
{
    for (;;) {
        PENSTOCK_TRY_VOID(waitFor(m_output.number(), POLLIN));
        const ssize_t size = ::read(m_output.number(), into.data(), into.size());
        if (size >= 0)
            return static_cast<std::size_t>(size);
        if (errno != EAGAIN && errno != EINTR)
            return fail(ErrorCode::Unavailable, fmt::format("reading from {}: {}", m_name, describe(errno)));
    }
}

Result<bool> ToolProcess::write(std::string_view bytes)
{
    while (!bytes.empty()) {
        PENSTOCK_TRY_VOID(waitFor(m_input.number(), POLLOUT));
        const ssize_t size = writeQuietly(m_input.number(), bytes);
        if (size > 0)
            bytes.remove_prefix(static_cast<std::size_t>(size));
        else if (size < 0 && errno == EPIPE)
            return false;
        else if (size < 0 && errno != EAGAIN && errno != EINTR)
            return fail(ErrorCode::Unavailable, fmt::format("writing to {}: {}", m_name, describe(errno)));
    }
    return true;
}

Result<void> ToolProcess::finish()
{
    std::array<char, 4096> rest{};
    for (;;) {
        PENSTOCK_TRY(const std::size_t size, read(rest));
        if (size == 0)
            break;
    }
    PENSTOCK_TRY_VOID(waitFor(m_process.number(), POLLIN));
    while (m_errors.isOpen() && takeErrors()) {
        pollfd wait{m_errors.number(), POLLIN, 0}; // a child of its own may hold the pipe open
        if (::poll(&wait, 1, 0) == 0)
            break;
    }
    int status = 0;
    while (::waitpid(m_pid, &status, 0) < 0)
        if (errno != EINTR)
            return fail(ErrorCode::Internal, fmt::format("waitpid: {}", describe(errno)));
    m_pid = -1;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return {};
    const std::string text = nixdaemon::stripAnsi(toValidUtf8(m_errorText));
    if (!WIFEXITED(status))
        return fail(ErrorCode::Unavailable,
                    fmt::format("{} was killed by signal {}: {}", m_name, WTERMSIG(status), trim(text)));
    return fail(ErrorCode::Invalid,
                fmt::format("{} failed with exit code {}: {}", m_name, WEXITSTATUS(status), trim(text)));
}

Result<std::string> outputOf(const ToolCommand& command, const nixdaemon::Interrupt& interrupt,
                             std::size_t limit)
{
    PENSTOCK_TRY(ToolProcess process, ToolProcess::start(command, interrupt));
    std::string text;
    std::array<char, 16384> part{};
    for (;;) {
        PENSTOCK_TRY(const std::size_t size, process.read(part));
        if (size == 0)
            break;
        text.append(part.data(), size);
        if (text.size() > limit)
            return fail(ErrorCode::Exhausted,
                        fmt::format("{} printed more than {} bytes", command.argv.front(), limit));
    }
    PENSTOCK_TRY_VOID(process.finish());
    return text;
}

} // namespace penstock::nixstore
