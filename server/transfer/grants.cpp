// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/transfer/grants.h"

#include "shared/base/text.h"

#include <fmt/format.h>
#include <sodium.h>

#include <algorithm>

namespace penstock::transfer {
namespace {

constexpr std::string_view kPrefix = "attempt-";

tl::unexpected<Error> denied()
{
    return fail(ErrorCode::Denied, "the grant is not one of this server; a builder gets a new one with its next step");
}

} // namespace

Result<GrantKey> GrantKey::make(std::string_view key)
{
    static_assert(crypto_auth_hmacsha256_KEYBYTES == 32);
    GrantKey made;
    if (key.size() != made.m_key.size())
        return fail(ErrorCode::Invalid, fmt::format("the key of grants has {} bytes, not {}", key.size(),
                                                    made.m_key.size()));
    std::transform(key.begin(), key.end(), made.m_key.begin(), [](char c) { return static_cast<unsigned char>(c); });
    return made;
}

GrantKey::~GrantKey()
{
    sodium_memzero(m_key.data(), m_key.size());
}

std::string GrantKey::grant(AttemptId attempt) const
{
    // The purpose is part of what is authenticated, so that no other use of the key can make a grant.
    const auto text = fmt::format("{}{}", kPrefix, attempt.value());
    std::array<unsigned char, crypto_auth_hmacsha256_BYTES> mac{};
    crypto_auth_hmacsha256(mac.data(), reinterpret_cast<const unsigned char*>(text.data()), text.size(), m_key.data());
    std::array<char, 2 * crypto_auth_hmacsha256_BYTES + 1> hex{};
    sodium_bin2hex(hex.data(), hex.size(), mac.data(), mac.size());
    return text + "-" + hex.data();
}

Result<AttemptId> GrantKey::check(std::string_view grant) const
{
    if (!looksLikeGrant(grant))
        return denied();
    const auto dash = grant.find('-', kPrefix.size());
    if (dash == std::string_view::npos)
        return denied();
    const auto number = parseUnsigned(grant.substr(kPrefix.size(), dash - kPrefix.size()));
    if (!number || *number == 0)
        return denied();
    const auto real = this->grant(AttemptId(*number));
    if (real.size() != grant.size() || sodium_memcmp(real.data(), grant.data(), real.size()) != 0)
        return denied();
    return AttemptId(*number);
}

bool looksLikeGrant(std::string_view credential)
{
    return credential.starts_with(kPrefix);
}

} // namespace penstock::transfer
