// SPDX-License-Identifier: GPL-3.0-or-later
// StoreDir and StorePath: a store directory such as /nix/store, and the base name DIGEST-NAME of a path in
// it. A StorePath is always well-formed (nix-formats 1.4, the strict reading of newer Nix); it is ordered
// bytewise by base name, as Nix sorts. Below: how Nix computes paths (1.5). Pure values; errors are Invalid
// and name the text.
#pragma once

#include "shared/base/result.h"
#include "shared/nix/hash.h"

#include <compare>
#include <cstddef>
#include <functional>
#include <set>
#include <string>
#include <string_view>

namespace penstock::nix {

inline constexpr std::size_t kStoreDigestLength = 32; // characters of base 32: 20 bytes
inline constexpr std::size_t kMaxStoreNameLength = 211;
inline constexpr std::size_t kMaxStoreDirLength = 1024;

class StoreDir {
public:
    // Absolute, no trailing slash, no empty, "." or ".." component, no control character.
    [[nodiscard]] static Result<StoreDir> parse(std::string_view text);
    [[nodiscard]] static StoreDir standard(); // /nix/store

    [[nodiscard]] const std::string& text() const { return m_text; }
    friend auto operator<=>(const StoreDir&, const StoreDir&) = default;

private:
    explicit StoreDir(std::string text) : m_text(std::move(text)) {}
    std::string m_text;
};

class StorePath {
public:
    // The full path of a store object itself; a path below it is refused.
    [[nodiscard]] static Result<StorePath> parse(const StoreDir& dir, std::string_view fullPath);
    [[nodiscard]] static Result<StorePath> fromBaseName(std::string_view baseName);

    [[nodiscard]] const std::string& baseName() const { return m_baseName; }
    [[nodiscard]] std::string_view digest() const
    {
        return std::string_view(m_baseName).substr(0, kStoreDigestLength);
    }
    [[nodiscard]] std::string_view name() const
    {
        return std::string_view(m_baseName).substr(kStoreDigestLength + 1);
    }
    [[nodiscard]] bool isDerivation() const { return name().size() > 4 && name().ends_with(".drv"); }
    [[nodiscard]] std::string print(const StoreDir& dir) const;

    friend auto operator<=>(const StorePath&, const StorePath&) = default;

private:
    explicit StorePath(std::string baseName) : m_baseName(std::move(baseName)) {}
    std::string m_baseName;
};

using StorePathSet = std::set<StorePath>;

// The rule for the NAME part (and for the names of derivations and outputs).
[[nodiscard]] Result<void> checkStoreName(std::string_view name);

enum class FileMethod : std::uint8_t { Flat, Recursive }; // hash of the bytes, or of the NAR

// A text file: .drv files, builtins.toFile.
[[nodiscard]] Result<StorePath> computeTextPath(const StoreDir& dir, std::string_view name,
                                                const Hash& content, const StorePathSet& references);
struct SourceReferences {
    StorePathSet others;
    bool self = false;
};
// A content-addressed path by its NAR's SHA-256 (taken modulo self-references when it has one).
[[nodiscard]] Result<StorePath> computeSourcePath(const StoreDir& dir, std::string_view name,
                                                  const Hash& narHash, const SourceReferences& references);
// A fixed output or an added file without references, by any method and algorithm.
[[nodiscard]] Result<StorePath> computeFixedPath(const StoreDir& dir, std::string_view name,
                                                 FileMethod method, const Hash& hash);
// Output of an input-addressed derivation by its masked hash modulo.
[[nodiscard]] Result<StorePath> computeOutputPath(const StoreDir& dir, std::string_view drvName,
                                                  std::string_view outputName, const Hash& modulo);
// "hello" and "dev" → "hello-dev"; output "out" adds nothing.
[[nodiscard]] std::string outputStoreName(std::string_view drvName, std::string_view outputName);

} // namespace penstock::nix

template <> struct std::hash<penstock::nix::StorePath> {
    std::size_t operator()(const penstock::nix::StorePath& path) const noexcept
    {
        return std::hash<std::string>{}(path.baseName());
    }
};
