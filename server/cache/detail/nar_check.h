// SPDX-License-Identifier: GPL-3.0-or-later
// NarCheck: everything that is asked of the NAR of an announced path while it streams by: it is one
// (strictly), it has the announced size and hash, it is what its content address says; and what is found on
// the way: listing, debug links, paths that are written in it and not stated. One thread. Errors: Corrupt,
// naming the path and both values.
#pragma once

#include "server/cache/detail/reference_scan.h"
#include "shared/base/result.h"
#include "shared/nix/content_address.h"
#include "shared/nix/debug_info.h"
#include "shared/nix/hash.h"
#include "shared/nix/listing.h"
#include "shared/nix/nar.h"
#include "shared/nix/nar_tee.h"
#include "shared/nix/narinfo.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace penstock::cache::detail {

// A listing above this is not kept in memory; it is made again from the archive when it is published.
inline constexpr std::size_t kMaxKeptListing = 1U << 20U;

enum class ListingState : std::uint8_t { Unwanted, Kept, TooLarge, Impossible };

struct NarFacts {
    ListingState listingState = ListingState::Unwanted;
    std::string listing;
    std::vector<nix::DebugFile> debugFiles;
    std::set<std::string> unstated; // digests
};

class NarCheck {
public:
    [[nodiscard]] static Result<std::unique_ptr<NarCheck>>
    begin(const nix::StoreDir& dir, const nix::NarInfo& announced, bool wantsListing);
    [[nodiscard]] Result<void> push(std::string_view nar);
    [[nodiscard]] Result<NarFacts> finish();
    // After finish: size and hash are the announced ones, whatever else is wrong.
    [[nodiscard]] bool isAnnouncedNar() const { return m_isAnnouncedNar; }

private:
    NarCheck(const nix::StoreDir& dir, const nix::NarInfo& announced, bool wantsListing);
    void finishListing();

    const std::string m_path;
    const nix::Hash m_narHash;
    const std::uint64_t m_narSize;
    NarFacts m_facts;
    nix::ListingBuilder m_listing;
    nix::DebugInfoVisitor m_debugInfo;
    nix::NarTee m_visitor;
    nix::NarParser m_parser;
    nix::Hasher m_hasher;
    ReferenceScan m_scan;
    std::optional<nix::ContentCheck> m_content;
    Result<void> m_contentResult; // told at the end, so that the hash is known before
    bool m_isAnnouncedNar = false;
};

} // namespace penstock::cache::detail
