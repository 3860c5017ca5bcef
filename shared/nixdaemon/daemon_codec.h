// SPDX-License-Identifier: GPL-3.0-or-later
// Requests and results of the nix-daemon's operations in the layout of each protocol minor from 21 to 38
// (nix-formats 5.7 to 5.11). Pure but for the reader's transport. Writing checks its arguments first
// (Invalid), because a daemon that chokes on a request may take what follows for other requests.
#pragma once

#include "shared/base/result.h"
#include "shared/nix/drv.h"
#include "shared/nixdaemon/daemon_types.h"
#include "shared/nixdaemon/wire.h"

#include <string>
#include <string_view>
#include <vector>

namespace penstock::nixdaemon {

inline constexpr unsigned kOldestMinor = 21; // Nix 2.1
inline constexpr unsigned kNewestMinor = 38; // Nix 2.24 and later

enum class Operation : std::uint64_t {
    IsValidPath = 1,
    QueryReferrers = 6,
    AddToStore = 7,
    AddTextToStore = 8,
    EnsurePath = 10,
    AddTempRoot = 11,
    AddIndirectRoot = 12,
    SyncWithGc = 13,
    SetOptions = 19,
    QueryAllValidPaths = 23,
    QueryPathInfo = 26,
    QueryPathFromHashPart = 29,
    QuerySubstitutablePathInfos = 30,
    QueryValidPaths = 31,
    QueryValidDerivers = 33,
    BuildDerivation = 36,
    AddSignatures = 37,
    NarFromPath = 38,
    AddToStoreNar = 39,
    QueryMissing = 40,
    QueryDerivationOutputMap = 41,
    RegisterDrvOutput = 42,
    QueryRealisation = 43,
    AddMultipleToStore = 44,
    AddBuildLog = 45,
    BuildPathsWithResults = 46,
    AddPermRoot = 47,
};

struct TextFile {
    std::string_view name;
    std::string_view content;
    const nix::StorePathSet& references;
};

[[nodiscard]] WireWriter beginRequest(Operation operation);
[[nodiscard]] Result<WireWriter> setOptionsRequest(const ConnectionSettings& settings);
[[nodiscard]] Result<WireWriter> buildDerivationRequest(const nix::StoreDir& dir,
                                                        const nix::StorePath& drvPath,
                                                        const nix::BasicDerivation& drv, BuildMode mode);
[[nodiscard]] Result<WireWriter> addTextRequest(const nix::StoreDir& dir, unsigned minor,
                                                const TextFile& file);
[[nodiscard]] Result<std::string> printDerivedPath(const nix::StoreDir& dir, unsigned minor,
                                                   const DerivedPath& path);

[[nodiscard]] Result<PathInfo> readPathInfo(WireReader& reader, const nix::StoreDir& dir);
[[nodiscard]] Result<BuildResult> readBuildResult(WireReader& reader, unsigned minor);

} // namespace penstock::nixdaemon
