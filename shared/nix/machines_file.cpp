// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nix/machines_file.h"

#include "shared/base/result.h"
#include "shared/base/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace penstock::nix {
namespace {

constexpr std::size_t kColumns = 8;
constexpr double kMostSpeed = 1e6;

bool isBlank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

std::vector<std::string_view> wordsOf(std::string_view line)
{
    std::vector<std::string_view> words;
    for (std::size_t at = 0; at < line.size();) {
        if (isBlank(line[at])) {
            ++at;
            continue;
        }
        const std::size_t from = at;
        while (at < line.size() && !isBlank(line[at]))
            ++at;
        words.push_back(line.substr(from, at - from));
    }
    return words;
}

std::vector<std::string> listOf(std::string_view word)
{
    std::vector<std::string> list;
    for (const std::string_view part : split(word, ','))
        if (!part.empty())
            list.emplace_back(part);
    return list;
}

// Of "ssh-ng://user@host:22?key=value", "user@host", "[::1]", "local".
Result<void> readUri(BuildMachine& machine)
{
    std::string_view rest = machine.uri;
    if (const auto scheme = rest.find("://"); scheme != std::string_view::npos)
        rest.remove_prefix(scheme + 3);
    rest = rest.substr(0, rest.find_first_of("?/"));
    if (const auto at = rest.rfind('@'); at != std::string_view::npos) {
        machine.user = std::string(rest.substr(0, at));
        rest.remove_prefix(at + 1);
    }
    if (rest.starts_with('[') && rest.find(']') != std::string_view::npos)
        rest = rest.substr(1, rest.find(']') - 1);
    else if (std::ranges::count(rest, ':') == 1)
        rest = rest.substr(0, rest.find(':')); // the port of ssh
    machine.host = std::string(rest);
    if (machine.host.empty())
        return fail(ErrorCode::Invalid, fmt::format("the store URI \"{}\" names no host", machine.uri));
    return {};
}

Result<void> readNumbers(BuildMachine& machine, std::string_view jobs, std::string_view speed)
{
    if (!jobs.empty()) {
        const auto number = parseUnsigned(jobs);
        if (!number || *number > kMaxMachineJobs)
            return fail(ErrorCode::Invalid,
                        fmt::format("jobs at once, column 4, is \"{}\"; it must be a number up to {}", jobs,
                                    kMaxMachineJobs));
        if (*number == 0)
            return fail(ErrorCode::Invalid, "jobs at once, column 4, is 0: the machine takes no work; leave it out");
        machine.maxJobs = static_cast<std::uint32_t>(*number);
    }
    if (!speed.empty()) {
        const auto number = parseDouble(speed);
        if (!number || !std::isfinite(*number) || *number <= 0 || *number > kMostSpeed)
            return fail(ErrorCode::Invalid,
                        fmt::format("the speed factor, column 5, is \"{}\"; it must be a number above 0", speed));
        machine.speedFactor = *number;
    }
    return {};
}

Result<BuildMachine> readLine(std::string_view line)
{
    if (line.size() > kMaxMachineLine)
        return fail(ErrorCode::Invalid,
                    fmt::format("the line has {} bytes, the limit is {}", line.size(), kMaxMachineLine));
    if (!isUtf8(line) || line.find('\0') != std::string_view::npos)
        return fail(ErrorCode::Invalid, "the line is no text in UTF-8");
    std::vector<std::string_view> words = wordsOf(line);
    if (words.size() > kColumns)
        return fail(ErrorCode::Invalid,
                    fmt::format("the line has {} columns, there are only {}", words.size(), kColumns));
    words.resize(kColumns);
    for (std::string_view& word : words)
        if (word == "-")
            word = {};
    BuildMachine machine;
    machine.uri = std::string(words[0]);
    PENSTOCK_TRY_VOID(readUri(machine));
    machine.systems = listOf(words[1]);
    if (machine.systems.empty() && !words[1].empty())
        return fail(ErrorCode::Invalid, fmt::format("the systems, column 2, are \"{}\"; write such as x86_64-linux",
                                                    words[1]));
    machine.sshKey = std::string(words[2]);
    PENSTOCK_TRY_VOID(readNumbers(machine, words[3], words[4]));
    machine.supportedFeatures = listOf(words[5]);
    machine.mandatoryFeatures = listOf(words[6]);
    machine.hostKey = std::string(words[7]);
    return machine;
}

} // namespace

BuildMachines parseMachines(std::string_view text)
{
    BuildMachines parsed;
    std::size_t number = 0;
    for (const std::string_view whole : split(text, '\n')) {
        ++number;
        const std::string_view line = whole.substr(0, whole.find('#'));
        if (std::ranges::all_of(line, isBlank))
            continue;
        auto machine = readLine(line);
        if (!machine) {
            parsed.bad.push_back({number, toValidUtf8(machine.error().message)});
            continue;
        }
        machine->line = number;
        parsed.machines.push_back(*std::move(machine));
    }
    return parsed;
}

} // namespace penstock::nix
