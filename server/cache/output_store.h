// SPDX-License-Identifier: GPL-3.0-or-later
// OutputStore: a place where outputs are kept for everybody: a binary cache over an ObjectStore, or the
// machine's own Nix store. What it shows is closure-consistent at every instant: a path is found only when
// its NAR and everything it refers to are there. Blocking: pool threads only, from several at once. Errors as
// in object_store.h; Corrupt names the path and both hashes.
#pragma once

#include "server/cache/object_store.h"
#include "shared/base/result.h"
#include "shared/base/stream.h"
#include "shared/compress/codec.h"
#include "shared/nix/narinfo.h"
#include "shared/nix/realisation.h"
#include "shared/nix/store_path.h"

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::cache {

// A NAR on its way in, compressed as the receiver was told. Verified while it streams: size, narHash, and the
// content address where one is claimed; kept out of sight until published. Dropped without finish, nothing is
// left behind.
struct NarIntake {
    virtual ~NarIntake() = default;
    [[nodiscard]] virtual Result<void> push(std::string_view bytes) = 0;
    // Staged: with url, compression and file fields of this store, not signed yet.
    [[nodiscard]] virtual Result<nix::NarInfo> finish() = 0;
};

class OutputStore {
public:
    virtual ~OutputStore() = default;

    [[nodiscard]] virtual const nix::StoreDir& storeDir() const = 0;
    // Three-valued: an error means not known.
    [[nodiscard]] virtual Result<std::optional<nix::NarInfo>> find(const nix::StorePath& path) = 0;
    [[nodiscard]] virtual Result<std::optional<nix::NarInfo>> findDigest(std::string_view digest) = 0;
    // Those of the paths that are there, in one question (many at a time where the store allows it).
    [[nodiscard]] virtual Result<nix::StorePathSet> findMany(const nix::StorePathSet& paths) = 0;

    // The file behind info.url as it is stored.
    [[nodiscard]] virtual Result<void> readFile(const nix::NarInfo& info, ByteRange range,
                                                const ByteSink& sink) = 0;
    // Decompressed and verified: Corrupt at the end when it is not what info says.
    [[nodiscard]] virtual Result<void> readNar(const nix::NarInfo& info, const ByteSink& sink) = 0;

    [[nodiscard]] virtual Result<std::unique_ptr<NarIntake>> receive(const nix::NarInfo& announced,
                                                                     compress::Method body) = 0;
    // What somebody uploaded past us: read back, verified, staged. Corrupt removes it.
    [[nodiscard]] virtual Result<nix::NarInfo> adopt(const nix::NarInfo& announced,
                                                     compress::Method body) = 0;
    // Signs and shows what was staged, references before referrers. Invalid names a reference that is neither
    // there nor among them; nothing that depends on it is shown then. There already: no error.
    [[nodiscard]] virtual Result<void> publish(std::vector<nix::NarInfo> staged) = 0;

    // What a client who uploads should send: the store's own compression, so that it need not be done again.
    [[nodiscard]] virtual compress::EncoderOptions wantedEncoding() const = 0;
    // The key under which the NAR of an announced path will be kept; for signed uploads.
    [[nodiscard]] virtual std::string narKey(const nix::NarInfo& announced) const = 0;
    [[nodiscard]] virtual SignedUploads* signedUploads() { return nullptr; }

    // log/<base name of the .drv>
    [[nodiscard]] virtual Result<void> putLog(std::string_view drvBaseName, const ByteSource& text) = 0;
    [[nodiscard]] virtual Result<std::optional<std::string>> getLog(std::string_view drvBaseName,
                                                                    std::size_t maxBytes) = 0;
    // Signed and shown; its path is there before. A store that keeps none does nothing.
    [[nodiscard]] virtual Result<void> putRealisation(const nix::Realisation& /*realisation*/) { return {}; }
    // The text of a file beside: DIGEST.ls, realisations/ID.doi, debuginfo/ID.debug; none where it is not
    // there.
    [[nodiscard]] virtual Result<std::optional<std::string>> readSideFile(std::string_view /*key*/,
                                                                          std::size_t /*maxBytes*/)
    {
        return std::nullopt;
    }
    [[nodiscard]] virtual std::string describe() const = 0; // for people, without secrets
};

} // namespace penstock::cache
