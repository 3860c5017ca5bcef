// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nixdaemon/nar_guard.h"

#include <utility>

#include <fmt/format.h>

namespace penstock::nixdaemon {

NarGuard::NarGuard(const nix::Hash& narHash, std::uint64_t narSize, HashedBy hashedBy)
    : m_narHash(narHash),
      m_narSize(narSize),
      m_hashedBy(hashedBy),
      m_visitor(std::make_unique<nix::NarVisitor>()),
      m_parser(*m_visitor, {narSize == 0 ? UINT64_MAX : narSize})
{}
NarGuard::~NarGuard() = default;

Result<void> NarGuard::push(std::string_view bytes)
{
    auto used = m_parser.push(bytes);
    if (!used)
        return fail(ErrorCode::Corrupt, std::move(used.error().message));
    if (*used < bytes.size())
        return fail(ErrorCode::Corrupt,
                    fmt::format("bytes follow the NAR, which ended after {}; at most what was "
                                "announced is taken",
                                m_parser.byteCount()));
    if (m_hashedBy == HashedBy::Guard)
        m_hasher.update(bytes);
    return {};
}

Result<void> NarGuard::finish()
{
    auto whole = m_parser.finish();
    if (!whole)
        return fail(ErrorCode::Corrupt, std::move(whole.error().message));
    if (m_narSize != 0 && m_parser.byteCount() != m_narSize)
        return fail(ErrorCode::Corrupt, fmt::format("the NAR has {} bytes where {} were announced",
                                                    m_parser.byteCount(), m_narSize));
    if (m_hashedBy == HashedBy::Daemon)
        return {};
    const nix::Hash found = std::move(m_hasher).finish();
    if (found != m_narHash)
        return fail(ErrorCode::Corrupt, fmt::format("the NAR has the hash {} where {} was announced",
                                                    found.prefixedBase32(), m_narHash.prefixedBase32()));
    return {};
}

} // namespace penstock::nixdaemon
