// SPDX-License-Identifier: GPL-3.0-or-later
// Hash values in every form that Nix writes, and streaming hashers (OpenSSL's EVP: about 1.6 GB/s of
// SHA-256). Pure values; a Hasher belongs to one thread at a time. Parsing returns Invalid and names the
// text.
#pragma once

#include "shared/base/bytes.h"
#include "shared/base/result.h"

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

struct evp_md_ctx_st;

namespace penstock::nix {

enum class HashAlgorithm : std::uint8_t { Md5, Sha1, Sha256, Sha512 };

[[nodiscard]] std::string_view toString(HashAlgorithm algorithm);
[[nodiscard]] Result<HashAlgorithm> parseHashAlgorithm(std::string_view text);
// Bytes of a digest.
[[nodiscard]] std::size_t digestSize(HashAlgorithm algorithm);

class Hash {
public:
    // Invalid unless bytes has the algorithm's length.
    [[nodiscard]] static Result<Hash> fromBytes(HashAlgorithm algorithm, ByteView bytes);
    // "sha256:…" in base 16, 32 or 64, SRI "sha256-…", or bare when the algorithm is given (nix-formats 1.3).
    [[nodiscard]] static Result<Hash> parse(std::string_view text,
                                            std::optional<HashAlgorithm> algorithm = std::nullopt);

    [[nodiscard]] HashAlgorithm algorithm() const { return m_algorithm; }
    [[nodiscard]] ByteView bytes() const { return ByteView(m_bytes).first(digestSize(m_algorithm)); }
    [[nodiscard]] std::string base16() const;
    [[nodiscard]] std::string base32() const;
    [[nodiscard]] std::string base64() const;
    [[nodiscard]] std::string prefixedBase16() const; // sha256:ba78…
    [[nodiscard]] std::string prefixedBase32() const; // sha256:1b8m…
    [[nodiscard]] std::string sri() const;            // sha256-ungW…=

    friend auto operator<=>(const Hash&, const Hash&) = default;

private:
    explicit Hash(HashAlgorithm algorithm) : m_algorithm(algorithm) {}

    HashAlgorithm m_algorithm;
    std::array<std::byte, 64> m_bytes{}; // bytes past the digest stay zero, so that equality is by value
};

class Hasher {
public:
    explicit Hasher(HashAlgorithm algorithm = HashAlgorithm::Sha256);
    ~Hasher();
    Hasher(Hasher&&) noexcept;
    Hasher& operator=(Hasher&&) noexcept;
    Hasher(const Hasher&) = delete;
    Hasher& operator=(const Hasher&) = delete;

    void update(ByteView bytes);
    void update(std::string_view text) { update(bytesOf(text)); }
    [[nodiscard]] std::uint64_t byteCount() const { return m_byteCount; }
    // Ends the stream; the hasher is then of no more use.
    [[nodiscard]] Hash finish() &&;

private:
    struct Free {
        void operator()(evp_md_ctx_st* state) const;
    };
    HashAlgorithm m_algorithm;
    std::uint64_t m_byteCount = 0;
    std::unique_ptr<evp_md_ctx_st, Free> m_state;
};

[[nodiscard]] Hash hashOf(std::string_view text, HashAlgorithm algorithm = HashAlgorithm::Sha256);

} // namespace penstock::nix
