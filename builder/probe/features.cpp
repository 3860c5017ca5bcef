// SPDX-License-Identifier: GPL-3.0-or-later
#include "builder/probe/features.h"

#include "builder/spool/file_handle.h"
#include "shared/base/clock.h"
#include "shared/base/text.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/utsname.h>
#include <sys/wait.h>

namespace penstock::builder {
namespace {

constexpr std::size_t kMaxOutputBytes = 1U << 20U;
constexpr std::chrono::seconds kOutputTime{10};

// Reads to the end, the limit or the deadline.
Result<std::string> readAll(int fd, const std::string& program)
{
    const Instant deadline = SystemClock{}.now().mono + kOutputTime;
    std::string text;
    std::array<char, 16384> buffer{};
    while (text.size() <= kMaxOutputBytes) {
        const Duration left = deadline - SystemClock{}.now().mono;
        pollfd waiting{fd, POLLIN, 0};
        const auto millis = std::chrono::duration_cast<std::chrono::milliseconds>(left).count();
        if (left.count() <= 0 || ::poll(&waiting, 1, static_cast<int>(millis)) == 0)
            return fail(ErrorCode::Timeout, fmt::format("{} took longer than {} s", program, kOutputTime.count()));
        const ssize_t got = ::read(fd, buffer.data(), buffer.size());
        if (got == 0)
            return text;
        if (got < 0 && errno != EINTR)
            return fail(ErrorCode::Unavailable, fmt::format("reading from {}: {}", program, std::strerror(errno)));
        text.append(buffer.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    }
    return fail(ErrorCode::Exhausted, fmt::format("{} printed more than {} bytes", program, kMaxOutputBytes));
}

} // namespace

Result<std::string> outputOf(std::vector<std::string> argv)
{
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0)
        return fail(ErrorCode::Unavailable, fmt::format("cannot make a pipe: {}", std::strerror(errno)));
    const FileHandle readEnd(ends[0]);
    FileHandle writeEnd(ends[1]);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    ::posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    posix_spawnattr_t attributes; // our blocked signals are not the program's
    sigset_t none;
    sigemptyset(&none);
    ::posix_spawnattr_init(&attributes);
    ::posix_spawnattr_setsigmask(&attributes, &none);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    std::vector<char*> pointers;
    for (std::string& argument : argv)
        pointers.push_back(argument.data());
    pointers.push_back(nullptr);
    pid_t pid = 0;
    const int error = ::posix_spawnp(&pid, argv.front().c_str(), &actions, &attributes, pointers.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    ::posix_spawnattr_destroy(&attributes);
    writeEnd.reset();
    if (error != 0)
        return fail(ErrorCode::NotFound, fmt::format("cannot run {}: {}", argv.front(), std::strerror(error)));
    auto text = readAll(readEnd.get(), argv.front());
    if (!text)
        ::kill(pid, SIGKILL);
    int status = 0;
    ::waitpid(pid, &status, 0);
    if (text && status != 0)
        return fail(ErrorCode::Unavailable, fmt::format("{} failed with status {}", argv.front(), status));
    return text;
}

Result<nixdaemon::NixFacts> probeNix(const NixPlace& place)
{
    nixdaemon::DaemonOptions options;
    options.openTimeout = kOutputTime;
    if (!place.storeDir.empty()) {
        PENSTOCK_TRY(options.storeDir, nix::StoreDir::parse(place.storeDir));
    }
    auto json = outputOf({"nix", "--extra-experimental-features", "nix-command", "show-config", "--json"});
    if (!json) // newer ones know only the other spelling
        json = outputOf({"nix", "--extra-experimental-features", "nix-command", "config", "show", "--json"});
    // A daemon without the command line tool is usable too; it builds for its own system at least.
    const std::string config =
        json ? *json : fmt::format(R"({{"system":{{"value":"{}"}}}})", nativeSystem());
    return nixdaemon::queryFacts(place.socketPath, options, config);
}

std::string systemName(std::string machine, std::string kernel)
{
    if (machine == "amd64")
        machine = "x86_64";
    if (machine == "arm64")
        machine = "aarch64";
    if (machine.size() == 4 && machine.front() == 'i' && machine.ends_with("86"))
        machine = "i686";
    if (machine == "armv8l")
        machine = "armv7l";
    return machine + "-" + toLower(kernel);
}

std::string nativeSystem()
{
    utsname names = {};
    ::uname(&names);
    return systemName(names.machine, names.sysname);
}

} // namespace penstock::builder
