// SPDX-License-Identifier: GPL-3.0-or-later
// ToolProcess: one run of a command-line tool whose output streams to us and, if wished, bytes to a pipe of
// its own (descriptor 3). In a process group of its own, killed with all its children when the object ends
// before it does. Blocking, one thread. Failures: Unavailable (it cannot be run, or was killed), Cancelled,
// Invalid (it failed, with its standard error as the text), Internal.
#pragma once

#include "shared/base/result.h"
#include "shared/nixdaemon/unix_socket.h"

#include <cstddef>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::nixstore {

struct ToolCommand {
    std::vector<std::string> argv;                  // argv[0] is looked up in this process's PATH
    std::map<std::string, std::string> environment; // complete
    bool hasInput = false;                          // a pipe to read from as descriptor 3
};

class ToolProcess {
public:
    [[nodiscard]] static Result<ToolProcess> start(const ToolCommand& command,
                                                   nixdaemon::Interrupt interrupt);
    ~ToolProcess();
    ToolProcess(ToolProcess&& other) noexcept;
    ToolProcess& operator=(ToolProcess&&) = delete;

    // Of its standard output; 0 is the end.
    [[nodiscard]] Result<std::size_t> read(std::span<char> into);
    // False when it takes no more.
    [[nodiscard]] Result<bool> write(std::string_view bytes);
    void closeInput() { m_input = nixdaemon::FileDescriptor(); }
    // Reads what is left, and waits for its end.
    [[nodiscard]] Result<void> finish();

private:
    ToolProcess(std::string name, nixdaemon::Interrupt interrupt)
        : m_name(std::move(name)), m_interrupt(std::move(interrupt))
    {}
    // Waits until the descriptor is ready for the events; takes in standard error meanwhile.
    [[nodiscard]] Result<void> waitFor(int descriptor, short events);
    [[nodiscard]] bool takeErrors();

    std::string m_name;
    nixdaemon::Interrupt m_interrupt;
    nixdaemon::FileDescriptor m_output;
    nixdaemon::FileDescriptor m_errors;
    nixdaemon::FileDescriptor m_input;
    nixdaemon::FileDescriptor m_process; // a pidfd
    std::string m_errorText;             // its end
    int m_pid = -1;
};

// Runs it to its end; its standard output, at most limit bytes (Exhausted).
[[nodiscard]] Result<std::string> outputOf(const ToolCommand& command, const nixdaemon::Interrupt& interrupt,
                                           std::size_t limit);

} // namespace penstock::nixstore
