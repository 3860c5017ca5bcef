// SPDX-License-Identifier: GPL-3.0-or-later
// Realisations: which path an output of a content-addressed derivation turned out to have
// (nix-formats 4.1, 5.11; the form of Nix 2.4 to 2.34). Pure values. Errors: Invalid with the field, Corrupt
// for bad JSON, Exhausted above a limit.
#pragma once

#include "shared/base/result.h"
#include "shared/nix/hash.h"
#include "shared/nix/signing.h"
#include "shared/nix/store_path.h"

#include <compare>
#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <string_view>

namespace penstock::nix {

inline constexpr std::size_t kMaxRealisationBytes = 1U << 20U;
inline constexpr std::size_t kMaxDependentRealisations = 10'000;

// "sha256:HASH!OUTPUT": an output by its derivation's masked hash modulo.
struct RealisationId {
    Hash modulo; // sha256
    std::string output;

    [[nodiscard]] static Result<RealisationId> parse(std::string_view text);
    [[nodiscard]] std::string print() const;
    friend auto operator<=>(const RealisationId&, const RealisationId&) = default;
};

struct Realisation {
    RealisationId id;
    StorePath path;
    std::set<std::string> signatures = {};                // NAME:BASE64
    std::map<RealisationId, StorePath> dependencies = {}; // realisations that this one was made with

    friend bool operator==(const Realisation&, const Realisation&) = default;
};

[[nodiscard]] Result<Realisation> parseRealisation(std::string_view json);
// Compact, keys sorted: as Nix writes it.
[[nodiscard]] std::string printRealisation(const Realisation& realisation);

// The bytes that a signature is over: the JSON without the signatures.
[[nodiscard]] std::string fingerprint(const Realisation& realisation);
void sign(Realisation& realisation, const SecretKey& key);
[[nodiscard]] bool isSignedBy(const std::vector<PublicKey>& keys, const Realisation& realisation);

// Where a cache keeps it: "realisations/ID.doi".
[[nodiscard]] std::string realisationKey(const RealisationId& id);
// The id in such a key; Invalid for other keys.
[[nodiscard]] Result<RealisationId> parseRealisationKey(std::string_view key);

} // namespace penstock::nix
