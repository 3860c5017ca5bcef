// SPDX-License-Identifier: GPL-3.0-or-later
// LocalStore: an OutputStore that is the machine's own Nix store (`--store local`). What comes in is
// verified, kept compressed in a directory beside until it is published, and added then, references first.
// Read as a binary cache it is without compression: nar/DIGEST-NARHASH.nar, made from the store while it is
// sent. Logs and realisations are in the directory beside. Blocking, any thread, several at once.
#pragma once

#include "server/cache/detail/path_claims.h"
#include "server/cache/object_store.h"
#include "server/cache/output_store.h"
#include "shared/base/log.h"
#include "shared/base/mutex.h"
#include "shared/nix/signing.h"
#include "shared/nixstore/store_access.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace penstock::cache {

struct LocalStoreOptions {
    std::vector<nix::SecretKey> keys; // all sign what is published here
    std::string rootsDirectory;       // a link for each published path; empty: none is kept from collection
    std::size_t maxRoots = 100'000;   // beyond it the oldest go, a tenth at a time
    std::string name = "the local store"; // for people
    // The valid path of a digest, as only the store's own index knows it; readers of the binary cache ask by
    // digest.
    std::function<Result<std::optional<nix::StorePath>>(std::string_view digest)> pathOfDigest;
};

class LocalStore final : public OutputStore {
public:
    // beside: what is left there of a former run's unpublished paths is removed. store and logger outlive it.
    [[nodiscard]] static Result<std::unique_ptr<LocalStore>> open(nixstore::StoreAccess& store,
                                                                  std::unique_ptr<ObjectStore> beside,
                                                                  LocalStoreOptions options, Logger& logger);

    [[nodiscard]] const nix::StoreDir& storeDir() const override { return m_store.storeDir(); }
    [[nodiscard]] Result<std::optional<nix::NarInfo>> find(const nix::StorePath& path) override;
    [[nodiscard]] Result<std::optional<nix::NarInfo>> findDigest(std::string_view digest) override;
    [[nodiscard]] Result<nix::StorePathSet> findMany(const nix::StorePathSet& paths) override;
    [[nodiscard]] Result<void> readFile(const nix::NarInfo& info, ByteRange range,
                                        const ByteSink& sink) override;
    [[nodiscard]] Result<void> readNar(const nix::NarInfo& info, const ByteSink& sink) override;
    [[nodiscard]] Result<std::unique_ptr<NarIntake>> receive(const nix::NarInfo& announced,
                                                             compress::Method body) override;
    // Invalid: nobody can upload past us.
    [[nodiscard]] Result<nix::NarInfo> adopt(const nix::NarInfo& announced, compress::Method body) override;
    [[nodiscard]] Result<void> publish(std::vector<nix::NarInfo> staged) override;
    [[nodiscard]] compress::EncoderOptions wantedEncoding() const override;
    [[nodiscard]] std::string narKey(const nix::NarInfo& announced) const override;
    [[nodiscard]] Result<void> putLog(std::string_view drvBaseName, const ByteSource& text) override;
    [[nodiscard]] Result<std::optional<std::string>> getLog(std::string_view drvBaseName,
                                                            std::size_t maxBytes) override;
    [[nodiscard]] Result<void> putRealisation(const nix::Realisation& realisation) override;
    [[nodiscard]] Result<std::optional<std::string>> readSideFile(std::string_view key,
                                                                  std::size_t maxBytes) override;
    [[nodiscard]] std::string describe() const override { return m_options.name; }

    // As files of a binary cache; lives as long as the store.
    [[nodiscard]] ObjectStore& files() { return *m_files; }
    // What was staged of the path with this digest is not going to be published.
    void forget(std::string_view digest);

private:
    friend class LocalIntake;
    struct StagedFile {
        nix::NarInfo info; // as finish() gave it
        std::string key;   // beside
        compress::Method body;
    };

    LocalStore(nixstore::StoreAccess& store, std::unique_ptr<ObjectStore> beside, LocalStoreOptions options,
               Logger& logger);
    [[nodiscard]] nix::NarInfo withFile(nix::NarInfo info) const;
    [[nodiscard]] std::string newKey(const nix::StorePath& path);
    void stage(StagedFile file);
    [[nodiscard]] std::optional<StagedFile> staged(const nix::NarInfo& info);
    void unstage(const nix::StorePath& path);
    void discard(const std::string& key);
    [[nodiscard]] Result<void> checkReferences(const std::vector<nix::NarInfo>& staged);
    [[nodiscard]] Result<void> addToStore(const nix::NarInfo& info);
    [[nodiscard]] Result<void> addRoots(const nix::StorePathSet& paths);
    void dropOldRoots() PENSTOCK_REQUIRES(m_mutex);

    nixstore::StoreAccess& m_store;
    const std::unique_ptr<ObjectStore> m_beside;
    const LocalStoreOptions m_options;
    Logger& m_logger;
    const std::unique_ptr<ObjectStore> m_files;
    detail::PathClaims m_claims;
    Mutex m_mutex;
    std::map<nix::StorePath, StagedFile> m_staged PENSTOCK_GUARDED_BY(m_mutex);
    std::uint64_t m_lastKey PENSTOCK_GUARDED_BY(m_mutex) = 0;
    // Added since the directory was last counted; at first as many as make it be counted.
    std::size_t m_newRoots PENSTOCK_GUARDED_BY(m_mutex);
};

} // namespace penstock::cache
