// SPDX-License-Identifier: GPL-3.0-or-later
// UploadPolicy: which paths may be put into the store by whom. A running attempt may bring its own outputs; everybody
// who may upload at all may bring what proves itself: a content address that makes the path, or the signature of a key
// that the server trusts. Nothing else is ever taken, signed or shown. Pure.
#pragma once

#include "shared/nix/content_address.h"
#include "shared/nix/drv.h"
#include "shared/nix/narinfo.h"
#include "shared/nix/signing.h"
#include "shared/base/ids.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::transfer {

// What an attempt may bring: made from its derivation, never from what the builder says.
struct ExpectedOutput {
    nix::OutputKind kind = nix::OutputKind::InputAddressed;
    std::optional<nix::StorePath> path;               // none: known only after the build
    std::optional<nix::ContentAddress> fixed = {};    // of a fixed output
    std::optional<nix::AddressMethod> method = {};    // of a floating output
    std::optional<nix::HashAlgorithm> algorithm = {}; // of a floating output
};
struct AttemptFacts {
    AttemptId attempt{0};
    std::string drvName; // without .drv
    nix::StorePath drvPath;
    std::map<std::string, ExpectedOutput> outputs; // by output name
    std::optional<nix::Hash> modulo = {}; // of what is really built, where that names its realisations
};

// What a live attempt builds, as the server knows it.
struct AttemptWork {
    std::string drvPath;
    std::string drv; // text of the derivation
    std::vector<std::string> inputPaths = {};
    struct Revealed { // an output of an input derivation that only its build could tell
        std::string drvPath;
        std::string output;
        std::string path;
    };
    std::vector<Revealed> revealed = {};
};

// Invalid or Corrupt when the text is not that derivation. The paths of deferred outputs are computed.
[[nodiscard]] Result<AttemptFacts> attemptFacts(AttemptId attempt, const nix::StoreDir& dir, const AttemptWork& work);

struct UploadRules {
    nix::StoreDir dir;
    std::vector<nix::PublicKey> trusted;
    std::uint64_t maxNarBytes = std::uint64_t{1} << 40U;
};

// Why a path is refused: for counters. The sentence is for people.
enum class Refusal : std::uint8_t {
    None,
    TooLarge,
    BadAddress,
    NotAnOutput,
    WrongFixedHash,
    NotContentAddressed,
    Untrusted
};
[[nodiscard]] std::string_view toString(Refusal refusal);

struct Verdict {
    Refusal refusal = Refusal::None;
    std::string reason; // empty when wanted
    [[nodiscard]] bool isWanted() const { return refusal == Refusal::None; }
};
// Whether the path that a result names for an output may be it; shown: what the store says of the path. What only the
// build could tell must have the output's name and an address of its kind: any other path would be another's work.
[[nodiscard]] Verdict judgeOutput(const nix::StoreDir& dir, const AttemptFacts& attempt, const std::string& output,
                                  const nix::NarInfo& shown);
// attempt: none for a client.
[[nodiscard]] Verdict judgeUpload(const UploadRules& rules, const AttemptFacts* attempt, const nix::NarInfo& announced);

} // namespace penstock::transfer
