// SPDX-License-Identifier: GPL-3.0-or-later
// Fetcher: makes store paths valid in the local store, with all they need, from the server. One for a
// process: what several callers want travels once, and whoever gives up leaves it to the others. Bounded: so
// many streams at a time, each with at most 4 MiB of NARs in memory. fetch() blocks; callable from any
// thread, from several at once.
//
// Trust: with keys, each path that travels must be signed by one of them, or be content-addressed and prove
// it. Without keys the link is trusted: the hash that the server says is the one that counts, so give keys
// where others might stand in for the server (no TLS).
//
// Errors: those of Road and StoreAccess; NotFound names a path that neither the server nor the store has;
// Denied one that is not signed.
#pragma once

#include "shared/base/mutex.h"
#include "shared/nix/signing.h"
#include "shared/transfer/fetch_table.h"

#include <functional>
#include <memory>
#include <thread>
#include <vector>

namespace penstock::transfer {

inline constexpr unsigned kMaxStreams = 64;

struct FetcherOptions {
    unsigned streams = 4; // 1 to kMaxStreams
    std::vector<nix::PublicKey> trustedKeys = {};
};

struct FetchOrder {
    nix::StorePathSet paths;
    std::shared_ptr<const Road> road;
    StoreMaker store;
    nixdaemon::Interrupt interrupt; // ends it within a second
    bool substitute = false;        // the store may get what it can from its own substituters first
    // Keeps paths from the store's collector; called before the store is asked whether it has them.
    std::function<Result<void>(const nix::StorePathSet&)> hold = {};
    OnProgress onProgress = {};
};

class Fetcher {
public:
    explicit Fetcher(FetcherOptions options);
    // All fetch() have returned.
    ~Fetcher();
    Fetcher(const Fetcher&) = delete;
    Fetcher& operator=(const Fetcher&) = delete;

    // What had to travel; nothing when all was there.
    [[nodiscard]] Result<TransferProgress> fetch(const FetchOrder& order);

private:
    [[nodiscard]] Result<std::vector<nix::NarInfo>> findMissing(const FetchOrder& order) const;
    [[nodiscard]] Result<void> checkTrust(const nix::StoreDir& dir, const nix::NarInfo& info) const;
    [[nodiscard]] bool mustProve(const nix::StoreDir& dir, const nix::NarInfo& info) const;
    [[nodiscard]] Result<TransferProgress> await(FetchJob& job, const FetchOrder& order);

    void work();
    [[nodiscard]] std::shared_ptr<FetchBatch> takeBatch();
    [[nodiscard]] Result<void> runBatch(const FetchBatch& batch, std::size_t& good) const;
    [[nodiscard]] Result<void> runLarge(const FetchBatch& batch, const nix::NarInfo& info) const;
    [[nodiscard]] Result<void> readNar(const FetchBatch& batch, const nix::NarInfo& info,
                                       const ByteSink& sink) const;

    const FetcherOptions m_options;
    Mutex m_mutex;
    Condition m_workReady;
    Condition m_jobsMoved;
    FetchTable m_table PENSTOCK_GUARDED_BY(m_mutex);
    bool m_isStopping PENSTOCK_GUARDED_BY(m_mutex) = false;
    std::vector<std::thread> m_threads; // last: they use everything above
};

} // namespace penstock::transfer
