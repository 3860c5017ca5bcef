// SPDX-License-Identifier: GPL-3.0-or-later
#include "server/app/signing_keys.h"

#include "shared/base/bytes.h"
#include "shared/config/files.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <utility>

namespace penstock::app {
namespace {

Result<nix::SecretKey> loadKey(const std::string& path, const std::string& credentialsDirectory)
{
    PENSTOCK_TRY(const auto text, config::readSecretFile(path, credentialsDirectory));
    auto key = nix::SecretKey::parse(text);
    if (!key)
        return fail(std::move(key).error().in(fmt::format("signing key {}", path)));
    return key;
}

Result<void> writeWhole(int file, std::string_view text)
{
    while (!text.empty()) {
        const auto written = ::write(file, text.data(), text.size());
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return fail(ErrorCode::Internal, std::strerror(errno));
        text.remove_prefix(static_cast<std::size_t>(written));
    }
    return ::fsync(file) == 0 ? Result<void>() : fail(ErrorCode::Internal, std::strerror(errno));
}

// Under another name first: a crash must not leave half a key that the next start stumbles over.
Result<void> writeKey(const std::string& path, const std::string& text)
{
    const auto draft = path + ".new";
    ::unlink(draft.c_str());
    const int file = ::open(draft.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0)
        return fail(ErrorCode::Internal, fmt::format("making the signing key {}: {}", draft, std::strerror(errno)));
    auto written = writeWhole(file, text);
    ::close(file);
    if (written && ::rename(draft.c_str(), path.c_str()) != 0)
        written = fail(ErrorCode::Internal, std::strerror(errno));
    if (!written)
        return fail(std::move(written).error().in(fmt::format("making the signing key {}", path)));
    return {};
}

Result<nix::SecretKey> makeKey(const std::string& path, std::string_view serverName)
{
    std::array<std::byte, 32> seed{};
    randombytes_buf(seed.data(), seed.size());
    auto key = nix::SecretKey::fromSeed(keyName(serverName), seed);
    sodium_memzero(seed.data(), seed.size());
    if (!key)
        return key;
    PENSTOCK_TRY_VOID(writeKey(path, key->print() + "\n"));
    return key;
}

} // namespace

std::string keyName(std::string_view serverName)
{
    std::string name = "penstock-";
    for (const char c : serverName.substr(0, 100)) {
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
                           c == '-' || c == '_';
        name += plain ? c : '-';
    }
    return name + "-1";
}

Result<std::vector<nix::SecretKey>> loadSigningKeys(const KeyPlaces& places)
{
    if (::sodium_init() < 0)
        return fail(ErrorCode::Internal, "libsodium cannot be used on this machine");
    std::vector<nix::SecretKey> keys;
    for (const auto& file : places.files) {
        PENSTOCK_TRY(auto key, loadKey(file, places.credentialsDirectory));
        keys.push_back(std::move(key));
    }
    if (!keys.empty())
        return keys;
    const auto path = places.dataDir + "/signing-key";
    struct stat found{};
    const bool exists = ::lstat(path.c_str(), &found) == 0;
    PENSTOCK_TRY(auto key, exists ? loadKey(path, {}) : makeKey(path, places.serverName));
    keys.push_back(std::move(key));
    return keys;
}

} // namespace penstock::app
