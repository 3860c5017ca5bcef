// SPDX-License-Identifier: GPL-3.0-or-later
// What of a derivation's file matters to the farm: where it may be built, what it needs and what it makes. Pure, any
// thread.
#pragma once

#include "server/work/spec.h"
#include "shared/nix/store_path.h"

#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace penstock::hydra {

struct ReadDerivation {
    std::string name;
    std::string system;
    bool isBuiltin = false; // runs inside Nix, on a machine of any system
    std::vector<std::string> features; // sorted
    std::vector<nix::StorePath> inputs;
    std::vector<work::NixOutput> outputs; // sorted by name
    bool allowsSubstitutes = true;
    bool isImpure = false; // built every time, whatever an earlier build has left

    [[nodiscard]] bool knowsOutputs() const; // of none only the build can tell the path
};
struct DerivationGone {}; // there is no such file
struct DerivationBroken { // there is one, and it cannot be built
    std::string why;
};
using Reading = std::variant<ReadDerivation, DerivationGone, DerivationBroken>;

// text: of the file of the derivation at path.
[[nodiscard]] Reading readingOf(const nix::StoreDir& dir, const nix::StorePath& path, std::string_view text);

} // namespace penstock::hydra
