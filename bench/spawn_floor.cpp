// SPDX-License-Identifier: GPL-3.0-or-later
// Question: how many processes per second can this machine start and wait for at all, K in flight?
// The yardstick beside which jobs/s of the farm is read, in the same run: a bare loop of posix_spawn and
// waitpid of `true`.
#include <chrono>
#include <cstdlib>
#include <fmt/format.h>
#include <spawn.h>
#include <string>
#include <sys/wait.h>

int main(int argc, char** argv)
{
    const int total = argc > 1 ? std::atoi(argv[1]) : 3000;
    const int inFlight = argc > 2 ? std::atoi(argv[2]) : 2;
    std::string program = "true";
    char* arguments[] = {program.data(), nullptr};
    char* environment[] = {nullptr};
    const auto began = std::chrono::steady_clock::now();
    int started = 0;
    int running = 0;
    int ended = 0;
    while (ended < total) {
        while (running < inFlight && started < total) {
            pid_t pid = 0;
            if (::posix_spawn(&pid, "/bin/true", nullptr, nullptr, arguments, environment) != 0)
                return 1;
            ++started;
            ++running;
        }
        int status = 0;
        if (::waitpid(-1, &status, 0) > 0) {
            --running;
            ++ended;
        }
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    fmt::print("{{\"processes\": {}, \"in_flight\": {}, \"per_second\": {:.0f}}}\n", total, inFlight,
               total / took.count());
    return 0;
}
