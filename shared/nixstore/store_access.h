// SPDX-License-Identifier: GPL-3.0-or-later
// StoreAccess: a Nix store as Penstock needs it: what is there, its bytes out, bytes in. Two implementations:
// through the nix-daemon's socket (a bounded pool of connections) and through the nix command-line tools.
// Blocking, callable from any thread, from several at once. Errors: Unavailable (the store does not answer),
// Cancelled, Invalid (it refuses, with its text), Corrupt (the bytes are not what was announced), Denied.
#pragma once

#include "shared/base/result.h"
#include "shared/base/stream.h"
#include "shared/nix/narinfo.h"
#include "shared/nix/store_path.h"

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace penstock::nixstore {

// A path to be added: source is asked only when its turn has come.
struct NarToTake {
    nix::NarInfo info;
    ByteSource nar;
};

class StoreAccess {
public:
    virtual ~StoreAccess() = default;

    [[nodiscard]] virtual const nix::StoreDir& storeDir() const = 0;
    // Those of the paths that are valid, in one question. substitute: let the store fetch what it can first.
    [[nodiscard]] virtual Result<nix::StorePathSet> validPaths(const nix::StorePathSet& paths,
                                                               bool substitute) = 0;
    // None when not valid. url, compression and file fields are empty.
    [[nodiscard]] virtual Result<std::optional<nix::NarInfo>> info(const nix::StorePath& path) = 0;
    // The same for many; what is not valid is left out.
    [[nodiscard]] virtual Result<std::vector<nix::NarInfo>> infos(const nix::StorePathSet& paths);
    // The NAR, hashed on the way: Corrupt at the end when it is not the registered one.
    [[nodiscard]] virtual Result<void> readNar(const nix::NarInfo& info, const ByteSink& sink) = 0;
    // All references must be valid; checked by the store against narHash and narSize. Valid already: no
    // error. The store takes it without a signature, so the caller has verified where it comes from.
    [[nodiscard]] virtual Result<void> addNar(const nix::NarInfo& info, const ByteSource& nar) = 0;
    // The same for many, references first, in as few questions as it takes. Stops at the first error; added: how many
    // of the first ones are then in the store.
    [[nodiscard]] virtual Result<void> addNars(const std::vector<NarToTake>& nars, std::size_t& added);
    // A symbolic link outside of the store that keeps the path from being collected.
    [[nodiscard]] virtual Result<void> addRoot(const nix::StorePath& path, const std::string& link) = 0;
};

// Everything the paths refer to, themselves included, references before referrers. NotFound names a path that
// is not valid; Exhausted above maxPaths.
[[nodiscard]] Result<std::vector<nix::NarInfo>> closureOf(StoreAccess& store, const nix::StorePathSet& paths,
                                                          std::size_t maxPaths);

} // namespace penstock::nixstore
