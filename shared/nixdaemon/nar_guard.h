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

// Hashing a NAR is most of what passing it on costs. A daemon does it in any case and refuses another hash, so where
// it takes each byte exactly as the guard saw it, which the checks of form and size ensure, once is enough.
enum class HashedBy : std::uint8_t { Guard, Daemon };

class NarGuard {
public:
    // narSize 0: unknown.
    NarGuard(const nix::Hash& narHash, std::uint64_t narSize, HashedBy hashedBy = HashedBy::Guard);
    ~NarGuard();
    NarGuard(NarGuard&&) noexcept = default;
    NarGuard& operator=(NarGuard&&) noexcept = default;

    [[nodiscard]] Result<void> push(std::string_view bytes);
    // The archive is whole and has the announced size, and hash unless the daemon looks at that.
    [[nodiscard]] Result<void> finish();

private:
    nix::Hash m_narHash;
    std::uint64_t m_narSize;
    HashedBy m_hashedBy;
    std::unique_ptr<nix::NarVisitor> m_visitor; // at a fixed address, for the parser
    nix::NarParser m_parser;
    nix::Hasher m_hasher;
};

} // namespace penstock::nixdaemon
