// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/process_metrics.h"

#include "server/http/render_hydra.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>
#include <string>
#include <sys/resource.h>
#include <system_error>
#include <unistd.h>

namespace penstock::app {
namespace {

double secondsOf(const timeval& time)
{
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

// Of the machine, in Unix seconds.
std::optional<double> bootTime()
{
    std::ifstream file("/proc/stat");
    std::string word;
    double seconds = 0;
    while (file >> word)
        if (word == "btime" && file >> seconds)
            return seconds;
    return std::nullopt;
}

std::optional<double> startTime()
{
    std::ifstream file("/proc/self/stat");
    std::string text;
    std::getline(file, text);
    const auto name = text.rfind(')'); // it may hold spaces
    const auto boot = bootTime();
    if (name == std::string::npos || !boot)
        return std::nullopt;
    std::istringstream fields(text.substr(name + 1));
    std::string skipped;
    for (int field = 3; field < 22; ++field) // proc(5): the 22nd
        fields >> skipped;
    double ticks = 0;
    if (!(fields >> ticks))
        return std::nullopt;
    return *boot + ticks / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

std::optional<double> openFiles()
{
    std::error_code error;
    const std::filesystem::directory_iterator files("/proc/self/fd", error);
    if (error)
        return std::nullopt;
    return static_cast<double>(std::distance(files, {}) - 1); // not the one that looks
}

} // namespace

void appendProcessMetrics(std::vector<http::MetricFamily>& families)
{
    const http::ProcessUse use = http::processUse();
    const auto measure = [&families](const char* name, const char* help, std::optional<double> value) {
        if (value)
            families.push_back(http::gauge(name, help, *value));
    };
    if (use.residentBytes > 0) {
        measure("process_resident_memory_bytes", "resident memory", static_cast<double>(use.residentBytes));
        measure("process_virtual_memory_bytes", "virtual memory", static_cast<double>(use.virtualBytes));
    }
    rusage used{};
    if (::getrusage(RUSAGE_SELF, &used) == 0)
        families.push_back(http::counter("process_cpu_seconds_total", "processor time, of the kernel for it included",
                                         secondsOf(used.ru_utime) + secondsOf(used.ru_stime)));
    static const std::optional<double> started = startTime();
    measure("process_start_time_seconds", "when the process started, Unix time", started);
    measure("process_open_fds", "open file descriptors", openFiles());
    rlimit files{};
    if (::getrlimit(RLIMIT_NOFILE, &files) == 0)
        measure("process_max_fds", "most file descriptors that it may open", static_cast<double>(files.rlim_cur));
}

} // namespace penstock::app
