// SPDX-License-Identifier: GPL-3.0-or-later
// Nix's file of build machines (/etc/nix/machines): a machine a line, columns between blanks: store URI, systems, ssh
// key, jobs at once, speed factor, supported and mandatory features, public host key; "-" is nothing, what is left out
// at the end too; # begins a comment. Pure. A bad line is told by its number and harms no other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::nix {

inline constexpr std::size_t kMaxMachinesBytes = 4U << 20U; // of a file, for readers
inline constexpr std::size_t kMaxMachineLine = 16'384;
inline constexpr std::uint32_t kMaxMachineJobs = 100'000;

struct BuildMachine {
    std::size_t line = 0; // from 1
    std::string uri;      // as written
    std::string user;     // of ssh; may be empty
    std::string host;     // what a machine is called
    std::vector<std::string> systems; // empty: not said, what the machine is by itself
    std::string sshKey; // a file; empty: none
    std::uint32_t maxJobs = 1;
    double speedFactor = 1;
    std::vector<std::string> supportedFeatures;
    std::vector<std::string> mandatoryFeatures;
    std::string hostKey; // base64; empty: none
    friend bool operator==(const BuildMachine&, const BuildMachine&) = default;
};

struct BadMachineLine {
    std::size_t line = 0;
    std::string why;
};

struct BuildMachines {
    std::vector<BuildMachine> machines; // in the order of the file
    std::vector<BadMachineLine> bad;
};

[[nodiscard]] BuildMachines parseMachines(std::string_view text);

} // namespace penstock::nix
