// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/exec/child_process.h"

#include "shared/base/check.h"
#include "shared/base/text.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/close_range.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace penstock::builder {
namespace {

constexpr std::size_t kStackBytes = 64U << 10U;

// All that the child needs, made before it exists: between clone and exec it may not allocate nor lock, since it
// runs in our memory.
struct Launch {
    const char* program;
    char* const* argv;
    char* const* environment;
    const char* directory;
    int nothing; // /dev/null
    int out;
    int err;
    pid_t parent;
    sigset_t signals; // what the child shall have blocked
    int error = 0;    // errno of the step that failed, written by the child
};

// Handlers go by exec; what we ignore must be set back by hand. Nothing else is ever ignored by this program,
// the rest may be inherited from a shell or nohup.
constexpr std::array kResetSignals = {SIGPIPE, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGCHLD, SIGUSR1, SIGUSR2, SIGALRM};

[[noreturn]] void giveUp(Launch& launch)
{
    launch.error = errno;
    ::_exit(127);
}

int runChild(void* argument)
{
    Launch& launch = *static_cast<Launch*>(argument);
    struct sigaction byDefault = {};
    byDefault.sa_handler = SIG_DFL;
    for (const int number : kResetSignals)
        ::sigaction(number, &byDefault, nullptr);
    if (::setsid() < 0 || ::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
        giveUp(launch);
    if (::getppid() != launch.parent) { // it died before the line above
        errno = ESRCH;
        giveUp(launch);
    }
    if (::dup2(launch.nothing, 0) < 0 || ::dup2(launch.out, 1) < 0 || ::dup2(launch.err, 2) < 0 ||
        ::chdir(launch.directory) != 0)
        giveUp(launch);
    ::umask(022);
    // Everything of ours is close-on-exec anyway; this covers what libraries may have opened without.
    ::syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC);
    ::sigprocmask(SIG_SETMASK, &launch.signals, nullptr);
    ::execve(launch.program, launch.argv, launch.environment);
    giveUp(launch);
}

class Stack {
public:
    Stack()
        : m_memory(::mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0))
    {
        PENSTOCK_CHECK(m_memory != MAP_FAILED);
    }
    Stack(const Stack&) = delete;
    Stack& operator=(const Stack&) = delete;
    ~Stack() { ::munmap(m_memory, kStackBytes); }
    [[nodiscard]] void* top() const { return static_cast<char*>(m_memory) + kStackBytes; }

private:
    void* m_memory;
};

struct Pipe {
    FileHandle read;
    FileHandle write;
};

Result<Pipe> makePipe()
{
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0)
        return fail(ErrorCode::Unavailable, fmt::format("cannot make a pipe: {}", std::strerror(errno)));
    Pipe result{FileHandle(ends[0]), FileHandle(ends[1])};
    // Only our end: the job's own end stays blocking, as programs expect of their output.
    if (::fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0)
        return fail(ErrorCode::Unavailable, fmt::format("cannot set up a pipe: {}", std::strerror(errno)));
    return result;
}

std::vector<char*> pointers(const std::vector<std::string>& texts)
{
    std::vector<char*> result;
    result.reserve(texts.size() + 1);
    for (const std::string& text : texts)
        result.push_back(const_cast<char*>(text.c_str())); // exec takes them so and does not write
    result.push_back(nullptr);
    return result;
}

Error spawnError(int number, const std::string& what)
{
    ErrorCode code = ErrorCode::Denied;
    if (number == ENOENT || number == ENOTDIR)
        code = ErrorCode::NotFound;
    else if (number == EAGAIN || number == ENOMEM || number == EMFILE || number == ENFILE || number == ESRCH)
        code = ErrorCode::Unavailable;
    return {code, fmt::format("cannot run {}: {}", what, std::strerror(number))};
}

} // namespace

Result<ChildProcess> startChild(const ChildSpec& spec)
{
    static const Stack stack; // one caller thread; CLONE_VFORK returns only when the child has left it
    static const FileHandle nothing(::open("/dev/null", O_RDWR | O_CLOEXEC));
    PENSTOCK_TRY(Pipe out, makePipe());
    PENSTOCK_TRY(Pipe err, makePipe());
    const std::vector<char*> argv = pointers(spec.argv);
    const std::vector<char*> environment = pointers(spec.environment);
    Launch launch{spec.program.c_str(), argv.data(), environment.data(), spec.directory.c_str(), nothing.get(),
                  out.write.get(), err.write.get(), ::getpid(), {}, 0};
    sigemptyset(&launch.signals);

    // No handler may run in the child while it shares our memory.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int pidfd = -1;
    const pid_t pid = ::clone(runChild, stack.top(), CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &launch, &pidfd);
    const int cloneError = errno;
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (pid < 0)
        return fail(spawnError(cloneError, spec.program));
    FileHandle handle(pidfd);
    if (launch.error != 0) {
        ::waitpid(pid, nullptr, 0); // it has ended already: no wait
        return fail(spawnError(launch.error, spec.program));
    }
    return ChildProcess{pid, std::move(handle), std::move(out.read), std::move(err.read)};
}

Result<std::string> findProgram(const std::string& name, const std::string& path, const std::string& directory)
{
    if (name.find('/') != std::string::npos)
        return name.front() == '/' ? name : directory + "/" + name;
    bool found = false;
    for (const std::string_view part : split(path, ':')) {
        const std::string candidate = fmt::format("{}/{}", part.empty() ? std::string_view(directory) : part, name);
        struct stat info = {};
        if (::stat(candidate.c_str(), &info) != 0 || !S_ISREG(info.st_mode))
            continue;
        found = true;
        if (::access(candidate.c_str(), X_OK) == 0)
            return candidate;
    }
    if (found)
        return fail(ErrorCode::Denied, fmt::format("cannot run {}: it is in PATH but not executable", name));
    return fail(ErrorCode::NotFound, fmt::format("cannot run {}: not found in PATH ({})", name, path));
}

} // namespace penstock::builder
