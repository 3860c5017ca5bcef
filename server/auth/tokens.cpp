// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/auth/tokens.h"

#include "shared/base/bytes.h"
#include "shared/base/check.h"
#include "shared/base/text.h"

#include <fmt/format.h>
#include <sodium.h>

#include <algorithm>
#include <array>

namespace penstock::auth {
namespace {

constexpr std::string_view kPrefix = "pst_";
constexpr std::size_t kIdDigits = 16;
constexpr std::size_t kSecretDigits = 64;
constexpr std::size_t kMaxTokenName = 100;

bool isHex(std::string_view text)
{
    return std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

std::string toHex(std::span<const unsigned char> bytes)
{
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string out;
    for (const unsigned char byte : bytes) {
        out.push_back(kDigits[byte >> 4U]);
        out.push_back(kDigits[byte & 0xFU]);
    }
    return out;
}

template <std::size_t Size> std::string randomHex()
{
    std::array<unsigned char, Size> bytes{};
    randombytes_buf(bytes.data(), bytes.size());
    return toHex(bytes);
}

} // namespace

Result<TokenParts> splitToken(std::string_view text)
{
    const auto refusal = [] { return fail(ErrorCode::Denied, "the token has not the form of a Penstock token"); };
    if (text.size() != kPrefix.size() + kIdDigits + 1 + kSecretDigits || !text.starts_with(kPrefix))
        return refusal();
    const auto id = text.substr(kPrefix.size(), kIdDigits);
    const auto secret = text.substr(kPrefix.size() + kIdDigits + 1);
    if (text[kPrefix.size() + kIdDigits] != '_' || !isHex(id) || !isHex(secret))
        return refusal();
    return TokenParts{std::string(id), std::string(secret)};
}

std::string hashSecret(std::string_view id, std::string_view secret)
{
    std::array<unsigned char, crypto_generichash_BYTES> hash{};
    // Keyed by the id, so that equal hashes never show equal secrets.
    const std::string text(secret);
    const std::string key = fmt::format("{:<16}", id.substr(0, crypto_generichash_KEYBYTES_MAX));
    const int failed = crypto_generichash(hash.data(), hash.size(), reinterpret_cast<const unsigned char*>(text.data()),
                                          text.size(), reinterpret_cast<const unsigned char*>(key.data()), key.size());
    PENSTOCK_CHECK(failed == 0);
    return toHex(hash);
}

bool matches(const store::TokenRow& row, const TokenParts& parts)
{
    const auto hash = hashSecret(parts.id, parts.secret);
    return row.hash.size() == hash.size() && sodium_memcmp(row.hash.data(), hash.data(), hash.size()) == 0;
}

Result<void> checkToken(const store::TokenRow& row, const TokenParts& parts, WallTime now)
{
    if (!matches(row, parts))
        return fail(ErrorCode::Denied, "the token is not valid");
    if (row.revoked)
        return fail(ErrorCode::Denied, fmt::format("the token \"{}\" was revoked; ask for a new one", row.name));
    if (row.expires && *row.expires <= now)
        return fail(ErrorCode::Denied, fmt::format("the token \"{}\" expired at {}; ask for a new one", row.name,
                                                   formatRfc3339(*row.expires)));
    return {};
}

Result<NewToken> makeToken(std::string_view kind, std::string_view name, std::optional<WallTime> expires, WallTime now)
{
    if (kind != "builder" && kind != "client")
        return fail(ErrorCode::Invalid, fmt::format("kind: \"{}\" is not known; use \"builder\" or \"client\"", kind));
    if (name.empty() || name.size() > kMaxTokenName || !isUtf8(name))
        return fail(ErrorCode::Invalid, fmt::format("name: must have 1 to {} bytes of UTF-8, not {}", kMaxTokenName,
                                                    name.size()));
    if (expires && *expires <= now)
        return fail(ErrorCode::Invalid, "expires: lies in the past");
    if (sodium_init() < 0)
        return fail(ErrorCode::Internal, "libsodium cannot get random numbers from the system");
    NewToken made;
    made.row.id = randomHex<kIdDigits / 2>();
    const auto secret = randomHex<kSecretDigits / 2>();
    made.row.hash = hashSecret(made.row.id, secret);
    made.row.kind = std::string(kind);
    made.row.name = std::string(name);
    made.row.created = now;
    made.row.expires = expires;
    made.text = fmt::format("{}{}_{}", kPrefix, made.row.id, secret);
    return made;
}

} // namespace penstock::auth
