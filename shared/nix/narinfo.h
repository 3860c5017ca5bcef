// SPDX-License-Identifier: GPL-3.0-or-later
// NarInfo: what a binary cache says about a store path, its text form, and the fingerprint that is signed
// (nix-formats 4.3, 4.4). Also the form in which path infos travel between builder, client and server. Pure.
// Errors: Invalid with the line and key, Exhausted above a limit.
#pragma once

#include "shared/base/result.h"
#include "shared/nix/hash.h"
#include "shared/nix/store_path.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::nix {

inline constexpr std::size_t kMaxNarInfoBytes = 4U << 20U;
inline constexpr std::size_t kMaxReferences = 50'000;
inline constexpr std::size_t kMaxSignatures = 64;

struct NarInfo {
    StorePath path;
    std::string url;         // relative to the cache's root; empty where no file is meant (then not printed)
    std::string compression; // none, xz, bzip2, zstd, br, …; empty where no file is meant
    std::optional<Hash> fileHash;
    std::optional<std::uint64_t> fileSize;
    Hash narHash; // sha256
    std::uint64_t narSize;
    StorePathSet references; // a self-reference included
    std::optional<StorePath> deriver;
    std::string system;
    std::vector<std::string> signatures; // NAME:BASE64
    std::string contentAddress;          // nix-formats 1.6; empty: none

    friend bool operator==(const NarInfo&, const NarInfo&) = default;
};

// withFile: URL is required and a missing Compression means bzip2; else both may be absent.
enum class NarInfoKind : std::uint8_t { WithFile, WithoutFile };
[[nodiscard]] Result<NarInfo> parseNarInfo(const StoreDir& dir, std::string_view text,
                                           NarInfoKind kind = NarInfoKind::WithFile);
[[nodiscard]] std::string printNarInfo(const StoreDir& dir, const NarInfo& info);

// Several in one text, separated by empty lines: the body of closure answers and upload announcements.
[[nodiscard]] Result<std::vector<NarInfo>> parseNarInfos(const StoreDir& dir, std::string_view text, NarInfoKind kind);
[[nodiscard]] std::string printNarInfos(const StoreDir& dir, const std::vector<NarInfo>& infos);

// "1;/nix/store/…;sha256:…;SIZE;REFERENCES": the bytes that a signature is over.
[[nodiscard]] std::string fingerprint(const StoreDir& dir, const NarInfo& info);

} // namespace penstock::nix
