// SPDX-License-Identifier: GPL-3.0-or-later
// What this machine can build: by its Nix, when there is one, else by its architecture. probeNix blocks (it starts nix
// and talks to the daemon, each with a time limit): at start-up, or on a thread that may block.
#pragma once

#include "shared/base/result.h"
#include "shared/nixdaemon/nix_facts.h"

#include <string>

namespace penstock::builder {

struct NixPlace {
    std::string socketPath;
    std::string storeDir; // empty: /nix/store
};

// Unavailable and others: there is no usable Nix here; the text says what was tried.
[[nodiscard]] Result<nixdaemon::NixFacts> probeNix(const NixPlace& place);

// "x86_64-linux", from the kernel's name of the machine.
[[nodiscard]] std::string nativeSystem();
// The same from uname's words. Pure.
[[nodiscard]] std::string systemName(std::string machine, std::string kernel);

// Runs a program with its standard output caught; at most 1 MiB and 10 s. Blocks.
[[nodiscard]] Result<std::string> outputOf(std::vector<std::string> argv);

} // namespace penstock::builder
