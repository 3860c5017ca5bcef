// SPDX-License-Identifier: GPL-3.0-or-later
// ReferenceScanner: which of a set of store paths' digests occur in a stream of bytes, also across the
// borders of its pieces: how Nix learns the references of what was built (the digest alone counts, whatever
// is around it). Pure; one thread. Cannot fail.
#pragma once

#include "shared/nix/store_path.h"

#include <array>
#include <bitset>
#include <cstddef>
#include <set>
#include <string>
#include <string_view>
#include <unordered_set>

namespace penstock::nix {

class ReferenceScanner {
public:
    // Of 32 characters of base 32 each, as StorePath::digest() gives them; others are never found.
    explicit ReferenceScanner(std::set<std::string> digests);
    explicit ReferenceScanner(const StorePathSet& candidates);

    ReferenceScanner(ReferenceScanner&&) noexcept = default;
    ReferenceScanner& operator=(ReferenceScanner&&) noexcept = default;
    ReferenceScanner(const ReferenceScanner&) = delete; // its views lie in its own set
    ReferenceScanner& operator=(const ReferenceScanner&) = delete;
    ~ReferenceScanner() = default;

    void push(std::string_view bytes);

    [[nodiscard]] const std::set<std::string>& found() const { return m_found; }
    // Those of the paths whose digest was found.
    [[nodiscard]] StorePathSet foundOf(const StorePathSet& candidates) const;

private:
    void scan(std::string_view bytes);
    void look(std::string_view window);
    void keepTail(std::string_view bytes);

    std::set<std::string> m_digests;
    std::unordered_set<std::string_view> m_missing; // into m_digests: not found yet
    std::bitset<1U << 16U> m_beginnings;            // of digests, hashed: most windows end here
    std::set<std::string> m_found;
    std::array<char, kStoreDigestLength - 1> m_tail{}; // of the stream so far
    std::size_t m_tailLength = 0;
};

} // namespace penstock::nix
