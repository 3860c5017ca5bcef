// SPDX-License-Identifier: GPL-3.0-or-later
// ChildProgram: a program under a test's control, in a session of its own, its standard input and output
// pipes. No other child holds our ends, so closing ours is the end of its input. Ended by the destructor.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

namespace penstock::test {

class ChildProgram {
public:
    // The first word is the program, looked up in PATH. Ends the test program when it cannot be started.
    explicit ChildProgram(const std::vector<std::string>& words);
    ~ChildProgram();
    ChildProgram(const ChildProgram&) = delete;
    ChildProgram& operator=(const ChildProgram&) = delete;

    // Output up to and with the text, or all of it when the text never comes.
    [[nodiscard]] std::string readUntil(std::string_view text);
    [[nodiscard]] std::string readAll();
    void closeInput();
    void kill(int signal) const;
    int wait(); // the exit status, 128 + the signal's number otherwise

private:
    pid_t m_pid = 0;
    int m_input = -1;
    int m_output = -1;
    std::string m_read;
};

struct Ended {
    int status;
    std::string output;
};
// Without input, to its end.
[[nodiscard]] Ended runProgram(const std::vector<std::string>& words);

} // namespace penstock::test
