// SPDX-License-Identifier: GPL-3.0-or-later
// The keys that the server signs store paths with: from files that their owner alone can read, or made at the first
// start. Blocking; at start-up. Denied and Invalid name the file and say what to do; no message holds a secret.
#pragma once

#include "shared/base/result.h"
#include "shared/nix/signing.h"

#include <string>
#include <string_view>
#include <vector>

namespace penstock::app {

struct KeyPlaces {
    std::vector<std::string> files;   // of --signing-key; empty: one in the data directory
    std::string dataDir;
    std::string serverName;           // part of the name of a key that is made
    std::string credentialsDirectory; // systemd's; may be empty
};

// At least one; the first is the one that grants are derived from.
[[nodiscard]] Result<std::vector<nix::SecretKey>> loadSigningKeys(const KeyPlaces& places);

// "penstock-build1.example.org-1": characters that names of keys should not have become dashes.
[[nodiscard]] std::string keyName(std::string_view serverName);

} // namespace penstock::app
