// SPDX-License-Identifier: GPL-3.0-or-later
#include "shared/nix/hash.h"

#include "shared/base/check.h"
#include "shared/nix/base32.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <openssl/evp.h>

namespace penstock::nix {
namespace {

constexpr std::array kAlgorithms{HashAlgorithm::Md5, HashAlgorithm::Sha1, HashAlgorithm::Sha256,
                                 HashAlgorithm::Sha512};
constexpr std::string_view kBase64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

const EVP_MD* evpOf(HashAlgorithm algorithm)
{
    switch (algorithm) {
    case HashAlgorithm::Md5: return EVP_md5();
    case HashAlgorithm::Sha1: return EVP_sha1();
    case HashAlgorithm::Sha256: return EVP_sha256();
    case HashAlgorithm::Sha512: return EVP_sha512();
    }
    return EVP_sha256();
}

std::string encodeBase16(ByteView bytes)
{
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string text;
    text.reserve(bytes.size() * 2);
    for (const std::byte byte : bytes) {
        text.push_back(kDigits[std::to_integer<std::size_t>(byte >> 4U)]);
        text.push_back(kDigits[std::to_integer<std::size_t>(byte & std::byte{15})]);
    }
    return text;
}

std::string encodeBase64(ByteView bytes)
{
    std::string text;
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
        const std::size_t left = std::min<std::size_t>(3, bytes.size() - i);
        std::uint32_t group = 0;
        for (std::size_t j = 0; j < 3; ++j)
            group = (group << 8U) | (j < left ? std::to_integer<std::uint32_t>(bytes[i + j]) : 0U);
        for (std::size_t j = 0; j < 4; ++j)
            text.push_back(j <= left ? kBase64[(group >> (18U - 6U * static_cast<unsigned>(j))) & 63U] : '=');
    }
    return text;
}

int hexDigit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

std::optional<std::string> decodeBase16(std::string_view text)
{
    std::string bytes;
    for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
        const int high = hexDigit(text[i]);
        const int low = hexDigit(text[i + 1]);
        if (high < 0 || low < 0)
            return std::nullopt;
        bytes.push_back(static_cast<char>(high * 16 + low));
    }
    return bytes;
}

// Strict: whole groups, padding only at the end, no stray bits.
std::optional<std::string> decodeBase64(std::string_view text)
{
    if (text.size() % 4 != 0 || text.empty())
        return std::nullopt;
    const std::size_t padding = text.ends_with("==") ? 2 : (text.ends_with('=') ? 1 : 0);
    std::string bytes;
    std::uint32_t bits = 0;
    unsigned held = 0;
    for (const char c : text.substr(0, text.size() - padding)) {
        const std::size_t digit = kBase64.find(c);
        if (digit == std::string_view::npos)
            return std::nullopt;
        bits = (bits << 6U) | static_cast<std::uint32_t>(digit);
        held += 6;
        if (held >= 8) {
            held -= 8;
            bytes.push_back(static_cast<char>((bits >> held) & 0xFFU));
            bits &= (1U << held) - 1U;
        }
    }
    if (bits != 0)
        return std::nullopt;
    return bytes;
}

constexpr std::size_t base64Length(std::size_t bytes)
{
    return (bytes + 2) / 3 * 4;
}

tl::unexpected<Error> badHash(std::string_view text, std::string_view why)
{
    constexpr std::size_t kShown = 160;
    return fail(ErrorCode::Invalid, fmt::format("hash \"{}\": {}", text.substr(0, kShown), why));
}

} // namespace

std::string_view toString(HashAlgorithm algorithm)
{
    switch (algorithm) {
    case HashAlgorithm::Md5: return "md5";
    case HashAlgorithm::Sha1: return "sha1";
    case HashAlgorithm::Sha256: return "sha256";
    case HashAlgorithm::Sha512: return "sha512";
    }
    return "sha256";
}

Result<HashAlgorithm> parseHashAlgorithm(std::string_view text)
{
    for (const HashAlgorithm algorithm : kAlgorithms)
        if (toString(algorithm) == text)
            return algorithm;
    return fail(ErrorCode::Invalid, fmt::format("hash algorithm \"{}\" is none of md5, sha1, sha256, sha512",
                                                text.substr(0, 40)));
}

std::size_t digestSize(HashAlgorithm algorithm)
{
    switch (algorithm) {
    case HashAlgorithm::Md5: return 16;
    case HashAlgorithm::Sha1: return 20;
    case HashAlgorithm::Sha256: return 32;
    case HashAlgorithm::Sha512: return 64;
    }
    return 32;
}

Result<Hash> Hash::fromBytes(HashAlgorithm algorithm, ByteView bytes)
{
    if (bytes.size() != digestSize(algorithm))
        return fail(ErrorCode::Invalid, fmt::format("a {} digest has {} bytes, not {}", toString(algorithm),
                                                    digestSize(algorithm), bytes.size()));
    Hash hash(algorithm);
    std::copy(bytes.begin(), bytes.end(), hash.m_bytes.begin());
    return hash;
}

Result<Hash> Hash::parse(std::string_view text, std::optional<HashAlgorithm> algorithm)
{
    std::string_view digits = text;
    bool isSri = false;
    std::size_t at = text.find(':');
    if (at == std::string_view::npos) {
        at = text.find('-');
        isSri = at != std::string_view::npos;
    }
    if (at != std::string_view::npos) {
        PENSTOCK_TRY(const HashAlgorithm named, parseHashAlgorithm(text.substr(0, at)));
        if (algorithm && *algorithm != named)
            return badHash(text, fmt::format("{} is expected here", toString(*algorithm)));
        algorithm = named;
        digits = text.substr(at + 1);
    }
    if (!algorithm)
        return badHash(text, "names no algorithm; write for example sha256:…");
    const std::size_t size = digestSize(*algorithm);
    std::optional<std::string> bytes;
    if (digits.size() == base64Length(size)) {
        bytes = decodeBase64(digits);
    } else if (isSri) {
        return badHash(text, "the part after '-' must be base 64");
    } else if (digits.size() == size * 2) {
        bytes = decodeBase16(digits);
    } else if (digits.size() == base32Length(size)) {
        PENSTOCK_TRY(bytes, decodeBase32(digits, size));
    } else {
        return badHash(text,
                       fmt::format("{} characters fit no base of {}", digits.size(), toString(*algorithm)));
    }
    if (!bytes || bytes->size() != size)
        return badHash(text, "has characters that do not belong to its base");
    return fromBytes(*algorithm, bytesOf(*bytes));
}

std::string Hash::base16() const
{
    return encodeBase16(bytes());
}
std::string Hash::base32() const
{
    return encodeBase32(bytes());
}
std::string Hash::base64() const
{
    return encodeBase64(bytes());
}
std::string Hash::prefixedBase16() const
{
    return fmt::format("{}:{}", toString(m_algorithm), base16());
}
std::string Hash::prefixedBase32() const
{
    return fmt::format("{}:{}", toString(m_algorithm), base32());
}
std::string Hash::sri() const
{
    return fmt::format("{}-{}", toString(m_algorithm), base64());
}

void Hasher::Free::operator()(evp_md_ctx_st* state) const
{
    EVP_MD_CTX_free(state);
}

// OpenSSL refuses these calls only when memory is out, which ends the process anyway.
Hasher::Hasher(HashAlgorithm algorithm) : m_algorithm(algorithm), m_state(EVP_MD_CTX_new())
{
    PENSTOCK_CHECK(m_state != nullptr);
    PENSTOCK_CHECK(EVP_DigestInit_ex(m_state.get(), evpOf(algorithm), nullptr) == 1);
}
Hasher::~Hasher() = default;
Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;

void Hasher::update(ByteView bytes)
{
    PENSTOCK_CHECK(EVP_DigestUpdate(m_state.get(), bytes.data(), bytes.size()) == 1);
    m_byteCount += bytes.size();
}

Hash Hasher::finish() &&
{
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned size = 0;
    PENSTOCK_CHECK(EVP_DigestFinal_ex(m_state.get(), digest.data(), &size) == 1);
    Result<Hash> hash = Hash::fromBytes(m_algorithm, std::as_bytes(std::span(digest)).first(size));
    PENSTOCK_CHECK(hash.has_value());
    return *std::move(hash);
}

Hash hashOf(std::string_view text, HashAlgorithm algorithm)
{
    Hasher hasher(algorithm);
    hasher.update(text);
    return std::move(hasher).finish();
}

} // namespace penstock::nix
