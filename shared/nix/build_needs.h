// SPDX-License-Identifier: GPL-3.0-or-later
// What a derivation says about where and how it may be built: the variables of nix-formats 2.5 that a
// scheduler reads, from the plain environment or from structured attributes (__json). Pure; callable from any
// thread.
#pragma once

#include "shared/base/result.h"
#include "shared/nix/drv.h"

#include <set>
#include <string>

namespace penstock::nix {

struct BuildNeeds {
    std::string system;             // "builtin" fits every machine
    std::set<std::string> features; // the machine must have all of them
    bool preferLocalBuild = false;
    bool allowSubstitutes = true;
    bool isBuiltin = false; // runs inside Nix, on any platform

    friend bool operator==(const BuildNeeds&, const BuildNeeds&) = default;
};

// Invalid when __json is not a JSON object, or a variable there has another type than Nix takes.
[[nodiscard]] Result<BuildNeeds> readBuildNeeds(const Derivation& drv);

} // namespace penstock::nix
