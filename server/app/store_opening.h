// SPDX-License-Identifier: GPL-3.0-or-later
// Opening what `--store URI` names: a directory, a bucket, the machine's own Nix store. Blocking, at start-up. A store
// that is away is opened all the same: what is in it is not known until it answers. Errors are what another try cannot
// change, and say what was tried and what to do.
#pragma once

#include "server/cache/cache_uri.h"
#include "server/cache/object_store.h"
#include "server/cache/output_store.h"
#include "shared/base/cancel.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/config/options.h"
#include "shared/nix/signing.h"
#include "shared/nixdaemon/unix_socket.h"
#include "shared/nixstore/store_access.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace penstock::app {

struct OpenedStore {
    std::unique_ptr<nixstore::StoreAccess> access; // of a local store, used by the next
    std::unique_ptr<cache::OutputStore> store;
    cache::ObjectStore* files = nullptr; // what it is made of, as readers see it
    std::chrono::seconds signedExpiry{3'600};
    std::uint64_t partBytes = 0; // of uploads past us; 0: the desk's own choice
    // Removes what others left half done; says what it removed, or nothing. For a pool thread, at the start and once a
    // day; none: there is nothing to do.
    std::function<Result<std::string>()> tidy = {};
    CancelToken stopping = {};
    std::optional<nixdaemon::Interrupt> interrupt = {};

    // Calls that run end soon, and later ones fail. Any thread.
    void stop() const;
};

struct StorePlaces {
    std::string dataDir;
    const config::Environment& environment; // AWS_* and NIX_* say how stores are reached
    // Outlive the stores.
    const Clock& clock;
    Logger& logger;
};

// keys sign there, beside those that the URI names.
[[nodiscard]] Result<OpenedStore> openStore(const cache::StoreUri& uri, std::vector<nix::SecretKey> keys,
                                            const StorePlaces& places);
// Where the files of the store directory are on this machine: those of the first local store among these, else of the
// one that NIX_REMOTE names.
[[nodiscard]] std::string realStoreDir(const std::vector<cache::StoreUri>& stores, const std::string& storeDir,
                                       const config::Environment& environment);
// Who is to be told of links in this directory that keep paths of the machine's own store: Nix finds those in its own
// directory by itself; null then, and where none of the stores is the machine's. opened: these stores, in this order.
[[nodiscard]] nixstore::StoreAccess* holderOfLinks(const std::string& directory,
                                                   const std::vector<cache::StoreUri>& stores,
                                                   const std::vector<OpenedStore>& opened,
                                                   const config::Environment& environment);
// The part of it for `local`.
[[nodiscard]] Result<OpenedStore> openLocalStore(const cache::StoreUri& uri, std::vector<nix::SecretKey> keys,
                                                 const StorePlaces& places);

} // namespace penstock::app
