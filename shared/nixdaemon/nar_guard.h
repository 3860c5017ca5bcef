// SPDX-License-Identifier: GPL-3.0-or-later
// NarGuard: watches a NAR on its way and says whether it is one, and the one that was announced. A daemon
// cannot be relied on for this: Nix 2.8 takes archives in a wrong order and with bytes behind their end
// (nix-formats 3.2). Belongs to one stream. Errors: Corrupt.
#pragma once

#include "shared/base/result.h"
#include "shared/nix/hash.h"
#include "shared/nix/nar.h"

#include <cstdint>
#include <memory>
#include <string_view>

namespace penstock::nixdaemon {

class NarGuard {
public:
    // narSize 0: unknown.
    NarGuard(const nix::Hash& narHash, std::uint64_t narSize);
    ~NarGuard();
    NarGuard(NarGuard&&) noexcept = default;
    NarGuard& operator=(NarGuard&&) noexcept = default;

    [[nodiscard]] Result<void> push(std::string_view bytes);
    // The archive is whole and has the announced size and hash.
    [[nodiscard]] Result<void> finish();

private:
    nix::Hash m_narHash;
    std::uint64_t m_narSize;
    std::unique_ptr<nix::NarVisitor> m_visitor; // at a fixed address, for the parser
    nix::NarParser m_parser;
    nix::Hasher m_hasher;
};

} // namespace penstock::nixdaemon
