// SPDX-License-Identifier: GPL-3.0-or-later
// DerivationReader: derivation files of the machine's Nix store, many at a time on a few threads. Blocking. What is
// wrong with one file is its reading; an error means that nothing was found out (the store's directory cannot be
// opened, no descriptors are left), so that nobody takes a store that is not mounted for an empty one.
#pragma once

#include "server/hydra/build_loader_reading.h"
#include "shared/base/cancel.h"
#include "shared/base/result.h"
#include "shared/nix/store_path.h"

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace penstock::hydra {

class DerivationReader {
public:
    // files: where the paths of dir really are. After stop is cancelled, every answer is Cancelled.
    DerivationReader(nix::StoreDir dir, std::string files, CancelToken stop)
        : m_dir(std::move(dir)), m_files(std::move(files)), m_stop(std::move(stop))
    {}
    // In the order asked for.
    [[nodiscard]] Result<std::vector<Reading>> read(std::span<const nix::StorePath> paths) const;

private:
    nix::StoreDir m_dir;
    std::string m_files;
    CancelToken m_stop;
};

} // namespace penstock::hydra
