// SPDX-License-Identifier: GPL-3.0-or-later
// FallbackStore: for reading, one store and behind it another one; what is written goes to the first. For builders
// whose stores share nothing with ours, when what they need as inputs may lie in the machine's own store only. Not for
// asking whether an output is there: that is for the first store to say. What comes from behind is signed here, so that
// its readers can trust it as they trust us, and bring it back with what they built. Blocking, any thread.
#pragma once

#include "server/cache/object_store.h"
#include "server/cache/output_store.h"
#include "shared/nix/signing.h"

#include <memory>
#include <vector>

namespace penstock::cache {

class FallbackStore final : public OutputStore {
public:
    struct Side {
        OutputStore& store;
        ObjectStore* files = nullptr; // what it is made of, as readers see it; null where it is not made of files
    };
    // Both outlive it. keys: as signatures of what is behind.
    FallbackStore(Side first, Side behind, std::vector<nix::SecretKey> keys);

    // NARs of either; all else is the first's.
    [[nodiscard]] ObjectStore& files() { return *m_files; }

    [[nodiscard]] const nix::StoreDir& storeDir() const override { return m_first.storeDir(); }
    // An error of the first is one, whatever is behind it.
    [[nodiscard]] Result<std::optional<nix::NarInfo>> find(const nix::StorePath& path) override;
    [[nodiscard]] Result<std::optional<nix::NarInfo>> findDigest(std::string_view digest) override;
    [[nodiscard]] Result<nix::StorePathSet> findMany(const nix::StorePathSet& paths) override;
    [[nodiscard]] Result<void> readFile(const nix::NarInfo& info, ByteRange range, const ByteSink& sink) override;
    [[nodiscard]] Result<void> readNar(const nix::NarInfo& info, const ByteSink& sink) override;

    [[nodiscard]] Result<std::unique_ptr<NarIntake>> receive(const nix::NarInfo& announced,
                                                             compress::Method body) override;
    [[nodiscard]] Result<nix::NarInfo> adopt(const nix::NarInfo& announced, compress::Method body) override;
    [[nodiscard]] Result<void> publish(std::vector<nix::NarInfo> staged) override;
    [[nodiscard]] compress::EncoderOptions wantedEncoding() const override { return m_first.wantedEncoding(); }
    [[nodiscard]] std::string narKey(const nix::NarInfo& announced) const override;
    [[nodiscard]] SignedUploads* signedUploads() override { return m_first.signedUploads(); }
    [[nodiscard]] Result<void> putLog(std::string_view drvBaseName, const ByteSource& text) override;
    [[nodiscard]] Result<std::optional<std::string>> getLog(std::string_view drvBaseName,
                                                            std::size_t maxBytes) override;
    [[nodiscard]] Result<void> putRealisation(const nix::Realisation& realisation) override;
    [[nodiscard]] Result<std::optional<std::string>> readSideFile(std::string_view key, std::size_t maxBytes) override;
    [[nodiscard]] std::string describe() const override;

private:
    [[nodiscard]] nix::NarInfo withSignatures(nix::NarInfo info) const;
    // Whose file the info speaks of.
    [[nodiscard]] OutputStore& ownerOf(const nix::NarInfo& info) const;

    OutputStore& m_first;
    OutputStore& m_behind;
    const std::vector<nix::SecretKey> m_keys;
    const std::unique_ptr<ObjectStore> m_files;
};

} // namespace penstock::cache
