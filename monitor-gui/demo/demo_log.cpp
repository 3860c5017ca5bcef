// SPDX-License-Identifier: GPL-3.0-or-later
#include "monitor-gui/demo/demo_log.h"

#include <array>
#include <fmt/format.h>
#include <string_view>

namespace penstock::gui {

namespace {

using namespace std::string_view_literals;

constexpr std::array kFiles = {"parser"sv, "socket"sv, "buffer"sv,  "encoder"sv,  "main"sv,    "scheduler"sv,
                               "arena"sv,  "digest"sv, "unicode"sv, "terminal"sv, "signals"sv, "layout"sv};

std::string outText(std::uint64_t chance, std::uint64_t second)
{
    const std::string_view file = kFiles[chance % kFiles.size()];
    if (second == 0)
        return "unpacking sources\nsource root is source\npatching sources\n";
    if (second < 4)
        return fmt::format("checking for {}.h... yes\nchecking whether the compiler supports -f{}... yes\n",
                           file, file);
    if (chance % 11 == 0)
        return fmt::format("[{:3}%] Linking CXX shared library lib{}.so\n",
                           std::min<std::uint64_t>(99, second), file);
    return fmt::format("[{:3}%] Building CXX object src/CMakeFiles/{}.dir/{}_{}.cpp.o\n",
                       std::min<std::uint64_t>(99, second), file, file, chance % 97);
}

} // namespace

std::vector<monitor::LogEntry> demoLog(const monitor::StepRecord& step, std::uint64_t second)
{
    std::vector<monitor::LogEntry> entries;
    const auto add = [&](monitor::LogStream stream, std::string text, std::uint64_t micros) {
        monitor::LogEntry& entry = entries.emplace_back();
        entry.set_time_us(step.started_us() + second * 1'000'000 + micros);
        entry.set_stream(stream);
        entry.set_data(std::move(text));
    };
    const std::uint64_t base = (step.id() * 2654435761U + second * 40503U) % 1'000'003U;
    if (second == 0)
        add(monitor::LOG_SYSTEM, fmt::format("started on {}\n", step.machine()), 0);
    for (std::uint64_t line = 0; line < 1 + base % 3; ++line)
        add(monitor::LOG_OUT, outText(base + line * 7919, second), line * 210'000);
    const std::string_view file = kFiles[base % kFiles.size()];
    if (base % 7 == 0)
        add(monitor::LOG_ERR,
            fmt::format(
                "src/{}.cpp:{}:{}: \x1B[35mwarning:\x1B[0m unused variable 'result' [-Wunused-variable]\n",
                file, base % 900 + 10, base % 40 + 1),
            700'000);
    const bool last =
        step.finished_us() != 0 && step.started_us() + (second + 1) * 1'000'000 > step.finished_us();
    if (last && step.state() == monitor::STEP_FAILED)
        add(monitor::LOG_ERR,
            fmt::format("src/{}.cpp:42:7: error: 'close' was not declared in this scope\nmake: *** "
                        "[Makefile:88: all] Error 2\n",
                        file),
            900'000);
    return entries;
}

} // namespace penstock::gui
