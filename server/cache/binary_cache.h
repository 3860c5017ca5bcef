// SPDX-License-Identifier: GPL-3.0-or-later
// BinaryCache: an OutputStore in Nix's binary cache layout (nix-formats 4) over any ObjectStore. Blocking,
// any thread, several at once. What promises it keeps, and how, is in README.md.
#pragma once

#include "server/cache/cache_uri.h"
#include "server/cache/detail/path_claims.h"
#include "server/cache/detail/presence.h"
#include "server/cache/detail/staged.h"
#include "server/cache/object_store.h"
#include "server/cache/output_store.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/mutex.h"
#include "shared/nix/signing.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace penstock::cache {

struct BinaryCacheOptions {
    nix::StoreDir storeDir = nix::StoreDir::standard();
    compress::EncoderOptions encoding;
    bool writeListings = false;
    bool writeDebugInfo = false;
    compress::Method narInfoCompression =
        compress::Method::None; // needs a store that keeps content encodings
    compress::Method listingCompression = compress::Method::None;
    compress::Method logCompression = compress::Method::None;
    std::vector<nix::SecretKey> keys; // all sign
    std::optional<std::int64_t> priority;
    bool wantMassQuery = true;
    PresenceOptions presence;
    std::size_t parallel = 8; // requests of one call in flight at once
    // Log paths of this cache that are written in a NAR and are not among its references; a look-up each.
    bool reportUnstated = true;
    // A store that does not answer at the opening is opened all the same, and its nix-cache-info looked at before
    // anything is shown in it.
    bool mayBeAway = false;
};
// What a `--store` URI asks for, with the keys that sign there.
[[nodiscard]] BinaryCacheOptions binaryCacheOptions(const StoreUri& uri, std::vector<nix::SecretKey> keys);

class BinaryCache final : public OutputStore {
public:
    // Writes nix-cache-info where there is none. Invalid when the cache is of another store directory or an
    // option is out of its scale. clock and logger outlive it.
    // With mayBeAway only what another try cannot change is an error.
    [[nodiscard]] static Result<std::unique_ptr<BinaryCache>> open(std::unique_ptr<ObjectStore> objects,
                                                                   BinaryCacheOptions options,
                                                                   const Clock& clock, Logger& logger);

    [[nodiscard]] const nix::StoreDir& storeDir() const override { return m_options.storeDir; }
    [[nodiscard]] Result<std::optional<nix::NarInfo>> find(const nix::StorePath& path) override;
    [[nodiscard]] Result<std::optional<nix::NarInfo>> findDigest(std::string_view digest) override;
    [[nodiscard]] Result<nix::StorePathSet> findMany(const nix::StorePathSet& paths) override;
    [[nodiscard]] Result<void> readFile(const nix::NarInfo& info, ByteRange range,
                                        const ByteSink& sink) override;
    [[nodiscard]] Result<void> readNar(const nix::NarInfo& info, const ByteSink& sink) override;
    [[nodiscard]] Result<std::unique_ptr<NarIntake>> receive(const nix::NarInfo& announced,
                                                             compress::Method body) override;
    [[nodiscard]] Result<nix::NarInfo> adopt(const nix::NarInfo& announced, compress::Method body) override;
    [[nodiscard]] Result<void> publish(std::vector<nix::NarInfo> staged) override;
    [[nodiscard]] compress::EncoderOptions wantedEncoding() const override { return m_options.encoding; }
    [[nodiscard]] std::string narKey(const nix::NarInfo& announced) const override;
    [[nodiscard]] SignedUploads* signedUploads() override { return m_objects->signedUploads(); }
    [[nodiscard]] Result<void> putLog(std::string_view drvBaseName, const ByteSource& text) override;
    [[nodiscard]] Result<std::optional<std::string>> getLog(std::string_view drvBaseName,
                                                            std::size_t maxBytes) override;
    [[nodiscard]] Result<void> putRealisation(const nix::Realisation& realisation) override;
    [[nodiscard]] Result<std::optional<std::string>> readSideFile(std::string_view key,
                                                                  std::size_t maxBytes) override;
    [[nodiscard]] std::string describe() const override { return m_objects->describe(); }

private:
    friend class CacheIntake;
    using Info = std::shared_ptr<const nix::NarInfo>; // null: not there

    BinaryCache(std::unique_ptr<ObjectStore> objects, BinaryCacheOptions options, const Clock& clock,
                Logger& logger);
    [[nodiscard]] Result<void> checkCacheInfo();
    [[nodiscard]] Result<void> checkCacheInfoOnce();
    [[nodiscard]] Result<Info> lookUp(std::string_view digest);
    [[nodiscard]] Result<Info> load(std::string_view digest);
    [[nodiscard]] Result<std::optional<std::string>> readText(std::string_view key, std::size_t maxBytes);
    [[nodiscard]] Result<SmallObject> textObject(std::string key, std::string text, std::string contentType,
                                                 compress::Method compression) const;
    [[nodiscard]] Instant now() const { return m_clock.now().mono; }

    // What is stored under the info's url is its NAR; sets its file fields.
    struct Verified {
        nix::NarInfo info;
        detail::NarFacts facts;
    };
    [[nodiscard]] Result<Verified> verifyStored(nix::NarInfo info, bool* isAnnouncedNar = nullptr);
    void noteUnstated(const nix::NarInfo& info, const detail::NarFacts& facts);

    [[nodiscard]] Result<void> checkReferences(const std::vector<nix::NarInfo>& staged);
    [[nodiscard]] Result<std::vector<nix::NarInfo>> withoutPresent(std::vector<nix::NarInfo> staged);
    [[nodiscard]] Result<void> checkNars(const std::vector<nix::NarInfo>& staged,
                                         std::vector<detail::NarFacts>& facts);
    [[nodiscard]] Result<void> putSideFiles(const std::vector<nix::NarInfo>& staged,
                                            std::vector<detail::NarFacts>& facts);
    [[nodiscard]] Result<void> putListing(const nix::NarInfo& info, const detail::NarFacts& facts);
    [[nodiscard]] Result<std::string> listingOf(const nix::NarInfo& info);
    [[nodiscard]] Result<void> putDebugLinks(const nix::NarInfo& info, const detail::NarFacts& facts);
    void sign(nix::NarInfo& info) const;

    const std::unique_ptr<ObjectStore> m_objects;
    const BinaryCacheOptions m_options;
    const Clock& m_clock;
    Logger& m_logger;
    detail::Presence m_presence;
    detail::PathClaims m_claims;
    detail::Staged m_staged;
    Mutex m_infoMutex;
    bool m_isInfoChecked PENSTOCK_GUARDED_BY(m_infoMutex) = false;
};

} // namespace penstock::cache
