// SPDX-License-Identifier: GPL-3.0-or-later
// The local nix's part of `penstock build`: expressions to derivations, their closure, their files. Runs nix
// programs and waits for them; top level of a command only. Nix's own environment (NIX_STORE_DIR, NIX_REMOTE,
// …) is theirs by inheritance. Unavailable when nix is not installed, Invalid with nix's own text when it
// refuses.
#pragma once

#include "shared/base/result.h"

#include <string>
#include <string_view>
#include <vector>

namespace penstock::client {

struct BuildRequest {
    std::vector<std::string> targets;    // FILE.nix, DRV, FLAKE#ATTR
    std::vector<std::string> attributes; // -A, for files
    std::vector<std::string> nixOptions; // passed on to nix-instantiate: --arg NAME VALUE, …
};

// A derivation with the outputs asked for; none: all of them.
struct Root {
    std::string drv;
    std::vector<std::string> outputs;
    friend bool operator==(const Root&, const Root&) = default;
};

struct Instantiated {
    std::vector<Root> roots;
    std::string notes; // what nix said on standard error
};

// "/nix/store/….drv!out,dev" → its parts.
[[nodiscard]] Root parseRoot(std::string_view line);

[[nodiscard]] Result<Instantiated> instantiate(const BuildRequest& request);
// "nix-store --query --outputs": for answers that do not name them.
[[nodiscard]] Result<std::vector<std::string>> localOutputs(const std::string& drv);
// A symbolic link that also keeps the path from being collected.
[[nodiscard]] Result<void> linkResult(const std::string& link, const std::string& path);

} // namespace penstock::client
