// SPDX-License-Identifier: GPL-3.0-or-later
// Grants: the credential of a running attempt for the transfer routes, "attempt-<id>-<hex HMAC-SHA-256>". It says only
// whose it is; whether that attempt still runs the core knows. Pure; comparison takes constant time.
#pragma once

#include "shared/base/ids.h"
#include "shared/base/result.h"

#include <array>
#include <string>
#include <string_view>

namespace penstock::transfer {

// Wiped when destroyed.
class GrantKey {
public:
    // key: 32 secret bytes (SecretKey::derive). Invalid for another length.
    [[nodiscard]] static Result<GrantKey> make(std::string_view key);
    ~GrantKey();
    GrantKey(const GrantKey&) = default;
    GrantKey& operator=(const GrantKey&) = default;

    [[nodiscard]] std::string grant(AttemptId attempt) const;
    // Denied, without a word of the text, when this key did not make it.
    [[nodiscard]] Result<AttemptId> check(std::string_view grant) const;

private:
    GrantKey() = default;
    std::array<unsigned char, 32> m_key{};
};

// Whether a credential means to be a grant rather than a token.
[[nodiscard]] bool looksLikeGrant(std::string_view credential);

} // namespace penstock::transfer
