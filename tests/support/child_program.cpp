// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/support/child_program.h"

#include <array>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <fmt/core.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

namespace penstock::test {
namespace {

[[noreturn]] void endProgram(const std::string& why)
{
    fmt::print(stderr, "the tests cannot go on: {}\n", why);
    std::exit(1);
}

} // namespace

ChildProgram::ChildProgram(const std::vector<std::string>& words)
{
    std::array<int, 2> in{};
    std::array<int, 2> out{};
    if (::pipe2(in.data(), O_CLOEXEC) != 0 || ::pipe2(out.data(), O_CLOEXEC) != 0)
        endProgram("no pipe for " + words.front());
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID); // a kill of our group spares what cleans up
    std::vector<char*> pointers;
    for (const std::string& word : words)
        pointers.push_back(const_cast<char*>(word.c_str()));
    pointers.push_back(nullptr);
    const int failed =
        ::posix_spawnp(&m_pid, words.front().c_str(), &actions, &attributes, pointers.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    ::close(in[0]);
    ::close(out[1]);
    m_input = in[1];
    m_output = out[0];
    if (failed != 0)
        endProgram(words.front() + " cannot be started; ./dev setup installs what is missing");
}

ChildProgram::~ChildProgram()
{
    if (m_pid != 0) {
        ::kill(m_pid, SIGKILL);
        wait();
    }
    closeInput();
    ::close(m_output);
}

std::string ChildProgram::readUntil(std::string_view text)
{
    std::array<char, 4096> bytes{};
    for (;;) {
        if (const std::size_t at = m_read.find(text); at != std::string::npos && !text.empty()) {
            std::string found = m_read.substr(0, at + text.size());
            m_read.erase(0, found.size());
            return found;
        }
        const ssize_t got = ::read(m_output, bytes.data(), bytes.size());
        if (got <= 0)
            return std::exchange(m_read, {});
        m_read.append(bytes.data(), static_cast<std::size_t>(got));
    }
}

std::string ChildProgram::readAll()
{
    return readUntil({});
}

void ChildProgram::closeInput()
{
    if (m_input >= 0)
        ::close(std::exchange(m_input, -1));
}

void ChildProgram::kill(int signal) const
{
    if (m_pid != 0)
        ::kill(m_pid, signal);
}

int ChildProgram::wait()
{
    int status = 0;
    ::waitpid(std::exchange(m_pid, 0), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

Ended runProgram(const std::vector<std::string>& words)
{
    ChildProgram child(words);
    child.closeInput();
    std::string output = child.readAll();
    return {child.wait(), std::move(output)};
}

} // namespace penstock::test
