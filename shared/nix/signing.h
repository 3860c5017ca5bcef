// SPDX-License-Identifier: GPL-3.0-or-later
// Ed25519 keys and signatures in Nix's text form, NAME:BASE64 (nix-formats 4.4, 4.5; RFC 8032), by libsodium. Pure.
// Errors: Invalid, never quoting a secret.
#pragma once

#include "shared/base/bytes.h"
#include "shared/base/result.h"

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::nix {

class PublicKey {
public:
    [[nodiscard]] static Result<PublicKey> parse(std::string_view text);
    [[nodiscard]] const std::string& name() const { return m_name; }
    [[nodiscard]] std::string print() const;
    // signature: NAME:BASE64; false also when it is of another name or malformed.
    [[nodiscard]] bool verifies(std::string_view signature, std::string_view message) const;

private:
    friend class SecretKey;
    PublicKey() = default;
    std::string m_name;
    std::array<unsigned char, 32> m_bytes{};
};

// Wiped when destroyed.
class SecretKey {
public:
    [[nodiscard]] static Result<SecretKey> parse(std::string_view text);
    // seed: 32 random bytes.
    [[nodiscard]] static Result<SecretKey> fromSeed(std::string_view name, ByteView seed);
    ~SecretKey();
    SecretKey(const SecretKey&) = default;
    SecretKey& operator=(const SecretKey&) = default;

    [[nodiscard]] const std::string& name() const { return m_name; }
    [[nodiscard]] std::string print() const; // the content of a key file
    [[nodiscard]] PublicKey publicKey() const;
    [[nodiscard]] std::string sign(std::string_view message) const; // NAME:BASE64
    // A key for another purpose, made from this one: BLAKE2b of purpose, keyed with the seed; 32 bytes.
    [[nodiscard]] std::string derive(std::string_view purpose) const;

private:
    SecretKey() = default;
    std::string m_name;
    std::array<unsigned char, 64> m_bytes{};
};

// Whether any signature is by a key of the list.
[[nodiscard]] bool isSignedBy(const std::vector<PublicKey>& keys, const std::vector<std::string>& signatures,
                              std::string_view message);

} // namespace penstock::nix
