// SPDX-License-Identifier: GPL-3.0-or-later
// StoreUri: what `--store URI` asks for: `local[?root=/DIR]`, `file:///DIR?…`, `s3://BUCKET?…` with the
// parameters of Nix and of Hydra's queue runner (hydra-queue-runner 12.1), values taken as they are written,
// percent escapes decoded. Pure. Errors: Invalid, naming the URI, the parameter and, for an unknown one, the
// nearest that there is.
#pragma once

#include "shared/base/result.h"
#include "shared/compress/codec.h"
#include "shared/nix/store_path.h"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::cache {

enum class StoreKind : std::uint8_t { Local, Directory, S3 };

struct S3Place {
    std::string bucket;
    std::string region = "us-east-1";
    std::string scheme = "https"; // or http
    std::string endpoint;         // HOST[:PORT]; empty: Amazon's, with the bucket in the host's name
    std::string profile = "default";
    std::uint64_t bufferBytes = 8U << 20U; // smaller objects are one PUT; else the size of a part
    std::chrono::seconds presignedExpiry{3600};
};

struct StoreUri {
    StoreKind kind = StoreKind::Directory;
    std::string text;      // as it was given; holds no secret, only names of key files
    std::string root;      // Local: of a chroot store; empty: /
    std::string directory; // Directory: absolute
    S3Place s3;
    nix::StoreDir storeDir = nix::StoreDir::standard();
    // Of NARs. Hydra's default, xz, for S3; zstd in a directory, where time counts and not transfer.
    compress::Method compression = compress::Method::Zstd;
    std::optional<int> compressionLevel;
    bool parallelCompression = false; // xz and zstd
    bool writeListings = false;
    bool writeDebugInfo = false;
    // S3 only, as a directory keeps no content encodings.
    compress::Method narInfoCompression = compress::Method::None;
    compress::Method listingCompression = compress::Method::None;
    compress::Method logCompression = compress::Method::None;
    std::vector<std::string> secretKeyFiles; // beside those of --signing-key
    std::optional<unsigned> priority;        // lower is asked first
    bool wantMassQuery = true;
};

[[nodiscard]] Result<StoreUri> parseStoreUri(std::string_view text);

} // namespace penstock::cache
