// SPDX-License-Identifier: GPL-3.0-or-later
// Tokens: "pst_<id>_<secret>". The id is public and finds the row; the secret has 256 random bits, so that a plain
// hash of it is enough at rest. Pure but for sodium's random bytes in makeToken(). Comparison takes constant time.
#pragma once

#include "shared/base/clock.h"
#include "shared/base/result.h"
#include "server/store/store.h"

#include <optional>
#include <string>
#include <string_view>

namespace penstock::auth {

struct TokenParts {
    std::string id;
    std::string secret;
};

// Denied when the text has not the form of a token; the text never appears in the message.
[[nodiscard]] Result<TokenParts> splitToken(std::string_view text);
[[nodiscard]] std::string hashSecret(std::string_view id, std::string_view secret);
[[nodiscard]] bool matches(const store::TokenRow& row, const TokenParts& parts);
// Denied: wrong secret, revoked, expired.
[[nodiscard]] Result<void> checkToken(const store::TokenRow& row, const TokenParts& parts, WallTime now);

struct NewToken {
    store::TokenRow row;
    std::string text; // shown once, never stored
};
// kind: builder or client; name: up to 100 bytes. Invalid otherwise.
[[nodiscard]] Result<NewToken> makeToken(std::string_view kind, std::string_view name,
                                         std::optional<WallTime> expires, WallTime now);

} // namespace penstock::auth
