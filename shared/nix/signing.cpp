// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nix/signing.h"

#include "shared/base/check.h"
#include "shared/base/text.h"

#include <algorithm>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <sodium.h>

namespace penstock::nix {
namespace {

constexpr std::size_t kMaxKeyName = 255;

// Chooses the fastest code once; any number of calls from any thread is fine.
void ready()
{
    static const int kDone = sodium_init();
    PENSTOCK_CHECK(kDone >= 0);
}

const unsigned char* unsignedBytes(std::string_view text)
{
    return reinterpret_cast<const unsigned char*>(text.data());
}

std::string encodeBase64(std::span<const unsigned char> bytes)
{
    std::string text(sodium_base64_encoded_len(bytes.size(), sodium_base64_VARIANT_ORIGINAL), '\0');
    sodium_bin2base64(text.data(), text.size(), bytes.data(), bytes.size(), sodium_base64_VARIANT_ORIGINAL);
    text.pop_back(); // the terminating zero
    return text;
}

// Exactly out.size() bytes, with padding, nothing else.
bool decodeBase64(std::string_view text, std::span<unsigned char> out)
{
    // libsodium 1.0.18 takes every byte above 127 for a slash.
    const auto isAscii = [](char c) { return static_cast<unsigned char>(c) < 0x80; };
    if (!std::all_of(text.begin(), text.end(), isAscii))
        return false;
    std::size_t size = 0;
    const char* end = nullptr;
    return sodium_base642bin(out.data(), out.size(), text.data(), text.size(), nullptr, &size, &end,
                             sodium_base64_VARIANT_ORIGINAL) == 0 &&
           size == out.size() && end == text.data() + text.size();
}

struct Parts {
    std::string_view name, rest;
};
std::optional<Parts> splitName(std::string_view text)
{
    const std::size_t colon = text.find(':');
    if (colon == std::string_view::npos)
        return std::nullopt;
    return Parts{text.substr(0, colon), text.substr(colon + 1)};
}

Result<void> checkKeyName(std::string_view name)
{
    const auto isShown = [](char c) { return c > ' ' && c <= '~' && c != ':'; };
    if (name.empty() || name.size() > kMaxKeyName || !std::all_of(name.begin(), name.end(), isShown))
        return fail(ErrorCode::Invalid,
                    fmt::format("key name: must have 1 to {} visible ASCII characters and no colon, such as "
                                "cache.example.org-1",
                                kMaxKeyName));
    return {};
}

// The text is not quoted: it may be a secret key given in the place of a public one.
Result<std::string> readKey(std::string_view text, std::span<unsigned char> bytes, std::string_view what)
{
    const auto parts = splitName(trim(text));
    if (!parts)
        return fail(ErrorCode::Invalid, fmt::format("{}: has no colon; it must be NAME:BASE64", what));
    PENSTOCK_TRY_VOID(checkKeyName(parts->name));
    if (!decodeBase64(parts->rest, bytes))
        return fail(ErrorCode::Invalid, fmt::format("{} {}: must have {} bytes in base 64 after the colon",
                                                    what, parts->name, bytes.size()));
    return std::string(parts->name);
}

} // namespace

Result<PublicKey> PublicKey::parse(std::string_view text)
{
    ready();
    PublicKey key;
    PENSTOCK_TRY(key.m_name, readKey(text, key.m_bytes, "public key"));
    return key;
}

std::string PublicKey::print() const
{
    return m_name + ":" + encodeBase64(m_bytes);
}

bool PublicKey::verifies(std::string_view signature, std::string_view message) const
{
    ready();
    const auto parts = splitName(signature);
    std::array<unsigned char, crypto_sign_BYTES> bytes{};
    return parts && parts->name == m_name && decodeBase64(parts->rest, bytes) &&
           crypto_sign_verify_detached(bytes.data(), unsignedBytes(message), message.size(),
                                       m_bytes.data()) == 0;
}

Result<SecretKey> SecretKey::parse(std::string_view text)
{
    ready();
    SecretKey key;
    PENSTOCK_TRY(key.m_name, readKey(text, key.m_bytes, "secret key"));
    // Signing with a public half that is not the seed's would give away the seed.
    PENSTOCK_TRY(const SecretKey same,
                 fromSeed(key.m_name, std::as_bytes(std::span(key.m_bytes)).first<crypto_sign_SEEDBYTES>()));
    if (sodium_memcmp(same.m_bytes.data(), key.m_bytes.data(), key.m_bytes.size()) != 0)
        return fail(ErrorCode::Invalid,
                    fmt::format("secret key {}: its two halves do not belong together; make the file again",
                                key.m_name));
    return key;
}

Result<SecretKey> SecretKey::fromSeed(std::string_view name, ByteView seed)
{
    ready();
    PENSTOCK_TRY_VOID(checkKeyName(name));
    if (seed.size() != crypto_sign_SEEDBYTES)
        return fail(ErrorCode::Invalid, fmt::format("secret key {}: the seed has {} bytes; it must have {}",
                                                    name, seed.size(), crypto_sign_SEEDBYTES));
    SecretKey key;
    key.m_name = name;
    std::array<unsigned char, crypto_sign_PUBLICKEYBYTES> publicHalf{};
    crypto_sign_seed_keypair(publicHalf.data(), key.m_bytes.data(), unsignedBytes(textOf(seed)));
    return key;
}

SecretKey::~SecretKey()
{
    sodium_memzero(m_bytes.data(), m_bytes.size());
}

std::string SecretKey::print() const
{
    return m_name + ":" + encodeBase64(m_bytes);
}

PublicKey SecretKey::publicKey() const
{
    PublicKey key;
    key.m_name = m_name;
    std::copy(m_bytes.begin() + crypto_sign_SEEDBYTES, m_bytes.end(), key.m_bytes.begin());
    return key;
}

std::string SecretKey::sign(std::string_view message) const
{
    std::array<unsigned char, crypto_sign_BYTES> bytes{};
    crypto_sign_detached(bytes.data(), nullptr, unsignedBytes(message), message.size(), m_bytes.data());
    return m_name + ":" + encodeBase64(bytes);
}

std::string SecretKey::derive(std::string_view purpose) const
{
    constexpr std::size_t kSize = 32;
    std::array<unsigned char, kSize> bytes{};
    crypto_generichash(bytes.data(), bytes.size(), unsignedBytes(purpose), purpose.size(), m_bytes.data(),
                       crypto_sign_SEEDBYTES);
    std::string key(textOf(std::as_bytes(std::span(bytes))));
    sodium_memzero(bytes.data(), bytes.size());
    return key;
}

bool isSignedBy(const std::vector<PublicKey>& keys, const std::vector<std::string>& signatures,
                std::string_view message)
{
    return std::any_of(keys.begin(), keys.end(), [&](const PublicKey& key) {
        return std::any_of(signatures.begin(), signatures.end(),
                           [&](const std::string& signature) { return key.verifies(signature, message); });
    });
}

} // namespace penstock::nix
