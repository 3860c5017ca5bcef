// SPDX-License-Identifier: GPL-3.0-or-later
// What the server's /transfer routes answer, read strictly, and the requests' texts. Pure. Errors: Corrupt
// for an answer that is not of the agreed form (it names the field), Exhausted above a limit, Invalid for a
// server address.
#pragma once

#include "shared/base/result.h"
#include "shared/compress/codec.h"
#include "shared/curl/http_client.h"
#include "shared/nix/store_path.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::transfer {

inline constexpr std::size_t kMaxPathsInRequest = 5'000;
inline constexpr std::size_t kMaxRequestBytes = 1U << 20U;
inline constexpr std::size_t kMaxUrlBytes = 16U << 10U;
inline constexpr std::size_t kMaxPutHeaders = 64;
inline constexpr std::size_t kMaxParts = 10'000;
// A part is held in memory, so the server does not say how much that may be.
inline constexpr std::uint64_t kMaxPartBytes = 256U << 20U;

// "ws://farm:7780/link", "wss://…", "http(s)://…" → "http(s)://farm:7780".
[[nodiscard]] Result<std::string> httpBase(std::string_view serverUrl);

struct PutOrder {
    std::string url; // relative to the server, or absolute: then it is signed and a secret
    std::string method = "PUT";
    curl::Headers headers = {};
    [[nodiscard]] bool isPastServer() const { return !url.starts_with('/'); }
};
struct PartOrder {
    unsigned number; // from 1
    PutOrder put;
};
struct PartsOrder {
    std::string upload;
    std::uint64_t partBytes = 0;
    std::vector<PartOrder> parts; // the first of them
};

enum class PathState : std::uint8_t { Present, Wanted, Refused };
struct PathPlan {
    nix::StorePath path;
    PathState state;
    std::string reason = {};                // of a refusal
    compress::EncoderOptions encoding = {}; // wanted: how
    std::optional<PutOrder> put = {};       // wanted: this,
    std::optional<PartsOrder> parts = {};   // or this
};

[[nodiscard]] Result<std::vector<PathPlan>> parsePlans(const nix::StoreDir& dir, std::string_view json);
[[nodiscard]] Result<std::vector<PartOrder>> parseParts(std::string_view json);
// How many paths the server says it has published.
[[nodiscard]] Result<std::size_t> parsePublished(std::string_view json);
// The detail of a problem document, else the beginning of the text.
[[nodiscard]] std::string problemText(std::string_view body);

struct PartsDone {
    nix::StorePath path;
    std::string upload;
    std::vector<std::string> etags; // of part 1, 2, …
};
[[nodiscard]] std::string printPaths(const nix::StoreDir& dir, const std::vector<nix::StorePath>& paths,
                                     const std::vector<PartsDone>& uploads = {});
[[nodiscard]] std::string printPartNumbers(const nix::StoreDir& dir, const nix::StorePath& path,
                                           std::string_view upload, const std::vector<unsigned>& numbers);

} // namespace penstock::transfer
