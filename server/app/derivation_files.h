// SPDX-License-Identifier: GPL-3.0-or-later
// DerivationFiles: derivations as they lie in the server's own Nix store: their text, checked against their path, and
// what they need of their input derivations. Blocks; any thread, several at once. Errors: NotFound (the file is not
// there), Denied, Unavailable (later it may be), Internal (the disk does not give it), Corrupt (it is not that
// derivation, or beyond a limit).
#pragma once

#include "server/app/detail/byte_cache.h"
#include "server/work/spec.h"
#include "shared/base/mutex.h"
#include "shared/base/result.h"
#include "shared/nix/drv.h"

#include <cstddef>
#include <string>
#include <vector>

namespace penstock::app {

struct DerivationText {
    std::string drv;                     // text of the derivation
    std::vector<std::string> inputPaths; // full paths
    [[nodiscard]] std::size_t bytes() const;
};

class DerivationFiles {
public:
    // realDir: where the files of dir are on this machine.
    DerivationFiles(nix::StoreDir dir, std::string realDir);

    [[nodiscard]] Result<DerivationText> read(const std::string& drvPath);

private:
    using Outputs = std::vector<work::NixOutput>;
    struct Parsed {
        std::string text;
        nix::Derivation drv;
    };
    [[nodiscard]] Result<Parsed> parse(const nix::StorePath& path, std::size_t maxBytes) const;
    [[nodiscard]] Result<std::shared_ptr<const Outputs>> outputsOf(const nix::StorePath& path);
    std::shared_ptr<const Outputs> keepOutputs(const nix::StorePath& path, const nix::Derivation& drv);

    const nix::StoreDir m_dir;
    const std::string m_realDir;
    Mutex m_mutex;
    detail::ByteCache<Outputs> m_outputs PENSTOCK_GUARDED_BY(m_mutex); // of derivations, by base name
};

} // namespace penstock::app
