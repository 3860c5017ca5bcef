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
};

// Invalid or Corrupt when the text is not that derivation.
[[nodiscard]] Result<AttemptFacts> attemptFacts(AttemptId attempt, const nix::StoreDir& dir,
                                                const nix::StorePath& drvPath, std::string_view drv);

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
// attempt: none for a client.
[[nodiscard]] Verdict judgeUpload(const UploadRules& rules, const AttemptFacts* attempt, const nix::NarInfo& announced);

} // namespace penstock::transfer
